//! What something takes of memory: how much the resident memory of a process of its own grows while it is built. So what the
//! allocator adds is in it.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::process::Command;

/// What this program measures in a fresh process, if it is started with this argument.
///
/// # Panics
/// If that process fails.
pub fn in_process(which: &str) -> f64 {
    let myself = std::env::current_exe().expect("the path of this program");
    let output = Command::new(myself).arg(which).output().expect("this program can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// Builds so many items and prints the bytes that each of them takes, as [`in_process`] reads it. What was built is handed back.
///
/// # Errors
/// That of building it, and where the operating system does not say what is resident as Linux does.
pub fn measure<T>(items: usize, build: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
    let before = resident()?;
    let built = build()?;
    println!("{}", (resident()? - before) / items as f64);
    Ok(built)
}

/// The resident memory of this process in bytes.
///
/// # Errors
/// Where the operating system does not say it as Linux does.
pub fn resident() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS: this benchmark needs Linux")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0)
}
