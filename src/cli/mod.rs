//! Floor 7: the command line and its configuration.

pub mod config;

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
