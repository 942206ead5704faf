//! A Kiwi process: the stand-in, or the real one that `KIWI_BIN` names.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::cluster::{PATIENCE, beside_tests};
use crate::engine::Engine;
use crate::ports;
use crate::raw::Client;

/// A Kiwi process with a directory. It is ended when this is dropped.
pub struct Kiwi {
    /// Its port.
    pub port: u16,
    /// Lines of its configuration file, besides the port and the directory.
    pub settings: Vec<(&'static str, String)>,
    /// What the stand-in is told besides. A real one has no such options.
    pub options: Vec<String>,
    engine: Engine,
    dir: PathBuf,
    /// Removed with it, if nobody else keeps the directory.
    _own: Option<TempDir>,
    child: Option<Child>,
}

impl Kiwi {
    /// Starts one with everything it has in a directory. The options are the stand-in's; a real one has none of them.
    pub fn start(engine: Engine, dir: &Path, options: &[&str]) -> Self {
        let mut kiwi = Self::prepare(engine, dir);
        kiwi.options = options.iter().map(|option| (*option).to_owned()).collect();
        kiwi.launch();
        kiwi
    }

    /// Starts one in a directory that goes with it.
    pub fn start_anywhere(engine: Engine, options: &[&str]) -> Self {
        let dir = TempDir::with_prefix("kiwi-").unwrap();
        let mut kiwi = Self::start(engine, dir.path(), options);
        kiwi._own = Some(dir);
        kiwi
    }

    /// One that does not run yet.
    pub fn prepare(engine: Engine, dir: &Path) -> Self {
        assert!(engine.is_kiwi(), "{engine} is none");
        Self {
            port: ports::free(),
            settings: Vec::new(),
            options: Vec::new(),
            engine,
            dir: dir.to_owned(),
            _own: None,
            child: None,
        }
    }

    /// Starts the process and waits until it listens.
    pub fn launch(&mut self) {
        self.spawn();
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "{} does not listen\n{}", self.engine, self.log());
            sleep(Duration::from_millis(5));
        }
    }

    /// Starts the process.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        fs::create_dir_all(self.data_dir()).unwrap();
        let mut config = format!("# a configuration\nport {}\nbinding 127.0.0.1\n", self.port);
        config += &format!("data-dir {}\n", self.data_dir().display());
        self.settings.iter().for_each(|(key, value)| config += &format!("{key} {value}\n"));
        let path = self.dir.join("kiwi.conf");
        fs::write(&path, config).unwrap();
        let mut command = match self.engine {
            Engine::Kiwi => {
                let mut command = Command::new(std::env::var_os("KIWI_BIN").expect("KIWI_BIN names a Kiwi"));
                command.arg("--config").arg(path).current_dir(&self.dir);
                command
            }
            _ => {
                let mut command = Command::new(beside_tests("kiwi-stand-in"));
                command.arg("--config").arg(path).args(&self.options);
                command
            }
        };
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// What plays it.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where its data is.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Whether it was started, and not ended since.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Whether its process, once started, is still there.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
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
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
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

    /// A connection whose bytes are seen as they come.
    pub fn raw(&self) -> Client {
        Client::connect(self.port)
    }
}

impl Drop for Kiwi {
    fn drop(&mut self) {
        self.kill();
    }
}
