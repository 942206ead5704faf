//! A Kiwi: the stand-in, or a real one where `KIWI_BIN` names it.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{PATIENCE, beside_tests};
use crate::ports;

/// The binary of a real Kiwi, if there is one.
pub fn real() -> Option<PathBuf> {
    std::env::var_os("KIWI_BIN").map(PathBuf::from)
}

/// A Kiwi process with a directory. It is ended when this is dropped.
pub struct Kiwi {
    /// Its port.
    pub port: u16,
    dir: PathBuf,
    options: Vec<String>,
    child: Option<Child>,
}

impl Kiwi {
    /// Starts one with its data in a directory. The options are the stand-in's; a real one has none of them.
    pub fn start(dir: &Path, options: &[&str]) -> Self {
        let mut kiwi = Self::prepare(dir, options);
        kiwi.launch();
        kiwi
    }

    /// One that does not run yet.
    pub fn prepare(dir: &Path, options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Self { port: ports::free(), dir: dir.to_owned(), options, child: None }
    }

    /// Starts the process and waits until it listens.
    pub fn launch(&mut self) {
        fs::create_dir_all(&self.dir).unwrap();
        let mut command = match real() {
            None => {
                let mut command = Command::new(beside_tests("kiwi-stand-in"));
                command.args(["--port", &self.port.to_string()]);
                command.arg("--data-dir").arg(self.dir.join("data")).args(&self.options);
                command
            }
            Some(binary) => {
                let config = self.dir.join("kiwi.conf");
                let data = self.dir.join("data");
                fs::create_dir_all(&data).unwrap();
                fs::write(
                    &config,
                    format!("port {}\nbinding 127.0.0.1\ndata-dir {}\n", self.port, data.display()),
                )
                .unwrap();
                let mut command = Command::new(binary);
                command.arg("--config").arg(config).current_dir(&self.dir);
                command
            }
        };
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "Kiwi does not listen");
            sleep(Duration::from_millis(5));
        }
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where its data is.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Ends it as by `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    }

    /// Has the stand-in end with the loss of what is not on disk.
    pub fn cut_power(&mut self) {
        self.signal(Signal::SIGUSR1);
        self.child.take().expect("it runs").wait().unwrap();
    }

    /// A plain connection to it.
    pub fn connect(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap();
        client.get_connection().unwrap()
    }
}

impl Drop for Kiwi {
    fn drop(&mut self) {
        self.kill();
    }
}
