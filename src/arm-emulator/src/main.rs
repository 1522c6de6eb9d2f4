//! `arm-emulator`: serves an Azure Resource Manager on one address until it is told to stop.
use std::process::ExitCode;

fn main() -> ExitCode {
    arm_emulator::command::run(std::env::args_os())
}
