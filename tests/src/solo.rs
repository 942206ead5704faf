//! One node by itself, as an operator would start it from a shell that has set limits.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cluster::{PATIENCE, binary};
use crate::raw;
use crate::{ports, process};

/// A node, its directory and its log. The process is ended when this is dropped.
pub struct Solo {
    /// Its port for clients.
    pub port: u16,
    /// Its HTTP port, as `host:port`.
    pub http: String,
    settings: Vec<(String, String)>,
    /// `ulimit -n`, if it is not the tests' own.
    open_files: Option<u64>,
    dir: TempDir,
    child: Option<Child>,
}

impl Solo {
    /// Lays a node out, with settings such as `limits.max_clients`. It is stand-alone unless they say otherwise.
    pub fn prepare(settings: &[(&str, &str)]) -> Self {
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self {
            port: ports::free(),
            http: format!("127.0.0.1:{}", ports::free()),
            settings,
            open_files: None,
            dir: TempDir::with_prefix("raft-proxy-solo-").unwrap(),
            child: None,
        }
    }

    /// Starts a node, and waits until it answers.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let mut solo = Self::prepare(settings);
        solo.launch();
        solo.wait();
        solo
    }

    /// The limit of open files that it is started with, soft and hard.
    pub fn open_files(mut self, most: u64) -> Self {
        self.open_files = Some(most);
        self
    }

    /// Starts the process.
    pub fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let limit = self.open_files.map(|most| format!("ulimit -n {most}; ")).unwrap_or_default();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{limit}exec \"$@\""), "sh"])
            .arg(binary())
            .args(["serve", "--until-stdin-closes", "--node-data-dir"])
            .arg(self.dir.path().join("data"))
            .args(["--listen-resp", &format!("127.0.0.1:{}", self.port)])
            .args(["--listen-http", &self.http])
            .stdin(Stdio::piped());
        if !self.settings.iter().any(|(name, _)| name == "cluster.enabled") {
            command.args(["--cluster-enabled", "false"]);
        }
        for (name, value) in &self.settings {
            command.arg(format!("--{}", name.replace(['.', '_'], "-"))).arg(value);
        }
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it does a write.
    pub fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let ready = |port: u16| -> redis::RedisResult<()> {
            let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
            let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
            redis::cmd("SET").arg("ready").arg("1").query(&mut connection)
        };
        while ready(self.port).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the process.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        process::wait_for_end(&mut child, PATIENCE, || self.log())
    }

    /// A connection that sees every byte.
    pub fn client(&self) -> raw::Client {
        raw::Client::connect(self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Changes the soft limit of open files of the running process.
    pub fn set_open_files(&self, most: u64) {
        let limit = format!("--nofile={most}:");
        let done = Command::new("prlimit").args(["--pid", &self.pid().to_string(), &limit]).status();
        assert!(done.unwrap().success());
    }

    /// How many files and connections it has open.
    pub fn open_now(&self) -> u64 {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count() as u64
    }

    /// A line of `/proc/<pid>/status` that is a number of kB, in bytes: `VmRSS`, `VmHWM`.
    pub fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// The processor time that it has used so far, in clock ticks, of which there are a hundred in a second.
    pub fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// What INFO says under a name.
    pub fn info(&self, name: &str) -> String {
        let info = self.client().ask("INFO everything");
        let found = info.split("\\r\\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("INFO has no {name}: {info}")).to_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log\n{}", self.log());
        }
    }
}

/// Whether the other side has closed a connection, or closes it before `patience` is over. What it sends before is
/// read.
pub fn is_closed(client: &raw::Client, patience: Duration) -> bool {
    use std::io::Read as _;
    let deadline = Instant::now() + patience;
    let mut stream = &client.stream;
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut buffer = [0; 4096];
    let closed = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if Instant::now() > deadline {
                    break false;
                }
            }
            Err(_) => break true,
        }
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    closed
}
