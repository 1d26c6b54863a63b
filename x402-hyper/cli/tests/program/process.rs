//! Runs the program: with an end to its time, and with nothing left behind.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// What may stand in nothing that is printed.
    #[track_caller]
    pub fn assert_without(&self, secret: &str) {
        let secret = secret.trim_start_matches("0x");
        assert!(!self.stdout.contains(secret) && !self.stderr.contains(secret), "{self:?}");
    }
}

/// Runs the program with nothing in its environment that is meant for it.
pub fn run(args: &[&str]) -> Ended {
    run_with(args, &[], Path::new("."))
}

pub fn run_with(args: &[&str], env: &[(&str, &str)], folder: &Path) -> Ended {
    let mut child = command(args, env).current_dir(folder).spawn().unwrap();
    drop(child.stdin.take());
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let code = wait(&mut child).code().unwrap_or(-1);
    Ended { code, stdout: stdout.recv().unwrap(), stderr: stderr.recv().unwrap() }
}

/// Runs it with this for its stdout, of which nothing is read.
pub fn run_to(
    stdout: impl Into<Stdio>,
    args: &[&str],
    env: &[(&str, &str)],
    folder: &Path,
) -> Ended {
    let mut child = command(args, env).stdout(stdout).current_dir(folder).spawn().unwrap();
    drop(child.stdin.take());
    let stderr = collect(child.stderr.take().unwrap());
    let code = wait(&mut child).code().unwrap_or(-1);
    Ended { code, stdout: String::new(), stderr: stderr.recv().unwrap() }
}

fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    program(env!("CARGO_BIN_EXE_x402"), args, env)
}

fn program(name: &str, args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(name);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("X402_")) {
        command.env_remove(name);
    }
    command.args(args).envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn wait(child: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the program does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// The program while it runs; it is killed when this is dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: Receiver<String>,
    seen: Vec<String>,
    _stdin: Option<ChildStdin>,
}

impl Running {
    pub fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_in(Path::new("."), args, env)
    }

    pub fn start_in(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::of(command(args, env).current_dir(folder))
    }

    /// With so many file descriptors and no more.
    #[cfg(unix)]
    pub fn start_within(descriptors: usize, args: &[&str], env: &[(&str, &str)]) -> Self {
        let limited = format!("ulimit -n {descriptors} && exec \"$@\"");
        let mut all = vec!["-c", &limited, "sh", env!("CARGO_BIN_EXE_x402")];
        all.extend(args);
        Self::of(&mut program("sh", &all, env))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = collect(child.stderr.take().unwrap());
        Self { child, lines, stderr, seen: Vec::new(), _stdin: stdin }
    }

    /// Waits for a line that holds `text`.
    pub fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => {
                    let _ = self.child.kill();
                    panic!("no {text:?} in {:#?}\n{:?}", self.seen, self.stderr.recv());
                }
            }
        }
    }

    /// Stops it the hard way.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGINT to it, and waits for its end.
    pub fn interrupt(mut self) -> Ended {
        let signal = format!("-INT {}", self.child.id());
        let kill = Command::new("kill").args(signal.split(' ')).status().unwrap();
        assert!(kill.success());
        let code = wait(&mut self.child).code().unwrap_or(-1);
        self.seen.extend(self.lines.try_iter());
        let stderr = self.stderr.recv().unwrap();
        Ended { code, stdout: self.seen.join("\n"), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
