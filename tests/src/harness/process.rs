//! A process that is started, stopped and asked how it ended.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::failure::{Failure, Result};

/// A running process. It is ended when this is dropped.
pub struct Process {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts it; what it says goes to a file, behind what is there. Its standard input ends with this process.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|error| Failure::Machine(format!("{command:?}: {error}")))?;
        Ok(Self { child, ended: None })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.id() as i32), signal)
            .map_err(|error| Failure::Machine(format!("{signal} to {}: {error}", self.id())))
    }

    /// `kill -9`; says how it ended, if that was by this.
    pub fn kill(&mut self) -> Result<String> {
        if let Some(status) = self.ended() {
            return Err(Failure::NoFault(format!("the process had ended by itself before: {status}")));
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        self.ended = Some(status);
        match status.signal() {
            Some(9) => Ok(format!("process {} ended by signal 9", self.id())),
            _ => Err(Failure::NoFault(format!("the process ended otherwise: {status}"))),
        }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// How it ended, if it does so in time.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.ended() {
                Some(status) => return Some(status),
                None if Instant::now() >= deadline => return None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Whether the kernel says that it is stopped.
    pub fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // Its name, in parentheses, may hold anything.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end; what it says, or why it failed.
pub fn run(program: &str, args: &[&str]) -> std::result::Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", args.join(" "), said.trim()))
}
