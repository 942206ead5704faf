//! The demo's Kiwi processes: one beside each node, with its data, its configuration and its log in the node's
//! directory.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{AccessFlags, Pid, access};

use super::process::{ending, last_lines};
use crate::cli::failure::Failure;
use crate::cli::private;

/// How far above its node's client port a Kiwi's port is.
pub(super) const PORT_OFFSET: u16 = 1_000;
/// How long a Kiwi may take to listen. One whose port is taken lives on without listening.
const LISTENING: Duration = Duration::from_secs(20);
/// How long it may take to stop.
const STOPPING: Duration = Duration::from_secs(5);

/// One Kiwi process. It is ended when this is dropped.
pub(super) struct Kiwi {
    pub(super) port: u16,
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Child,
    ended: bool,
}

/// The Kiwi that was named, or the one that a shell would find.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let runs = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if let Some(path) = named {
        return match path.canonicalize() {
            Ok(path) if runs(&path) => Ok(path),
            Ok(path) => Err(Failure::Usage(format!("--kiwi-bin {}: it is no program", path.display()))),
            Err(error) => Err(Failure::Usage(format!("--kiwi-bin {}: {error}", path.display()))),
        };
    }
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&dirs).map(|dir| dir.join("kiwi")).find(|path| runs(path)).ok_or_else(|| {
        Failure::Usage(
            "--backend kiwi needs a Kiwi: --kiwi-bin PATH, or a program named kiwi in one of the directories of PATH"
                .to_owned(),
        )
    })
}

impl Kiwi {
    /// Starts one; it does not listen yet.
    pub(super) fn start(program: &Path, dir: &Path, port: u16) -> Result<Self, Failure> {
        let (dir, config) = (dir.join("kiwi"), dir.join("kiwi").join("kiwi.conf"));
        let (data, log) = (dir.join("data"), dir.join("kiwi.log"));
        private::make_directory(&dir)?;
        private::make_directory(&data)?;
        let text = format!(
            "port {port}\nbinding 127.0.0.1\ndata-dir {}\nlog-dir {}\n",
            data.display(),
            dir.join("logs").display()
        );
        private::write(&config, &text)?;
        let output = fs::OpenOptions::new().create(true).append(true).open(&log);
        let output = output.map_err(Failure::because(log.display()))?;
        let errors = output.try_clone().map_err(Failure::because(log.display()))?;
        let child = std::process::Command::new(program)
            .arg("--config")
            .arg(&config)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(Failure::because(format!("cannot start {}", program.display())))?;
        Ok(Self { port, program: program.to_owned(), config, log, child, ended: false })
    }

    /// Waits until it listens; less if the demo is to stop.
    pub(super) fn wait(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        let deadline = Instant::now() + LISTENING;
        let what = loop {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if let Some(status) = self.look()? {
                break ending(status);
            }
            if Instant::now() >= deadline {
                break format!("does not listen after {}", conf::value::write_duration(LISTENING));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let (port, config) = (self.port, self.config.display());
        let log = last_lines(&self.log);
        Err(Failure::Failed(format!("the Kiwi of port {port} ({config}) {what}\n{log}")))
    }

    /// How it has ended, if it has since this was asked last.
    pub(super) fn look(&mut self) -> Result<Option<ExitStatus>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let status = self.child.try_wait().map_err(Failure::because("cannot look at a Kiwi"))?;
        self.ended = status.is_some();
        Ok(status)
    }

    /// What a person starts it with.
    pub(super) fn command(&self) -> String {
        format!("{} --config {}", self.program.display(), self.config.display())
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Kiwi {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // One that has just ended cannot be signalled, and need not be.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let deadline = Instant::now() + STOPPING;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
