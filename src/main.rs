//! The binary: parse, run, turn an error into an exit code.

fn main() -> std::process::ExitCode {
    taskscheduler::cli::main()
}
