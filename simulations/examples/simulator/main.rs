//! What the simulator's developers run: `cargo run --profile ci -p sluice-simulations --example simulator -- COMMAND ...`.
//! One program, because each one more takes a minute to build.

mod bench;
mod play;
mod scenarios;
mod soak;

use std::process::ExitCode;

const USAGE: &str = "usage: simulator COMMAND
  bench [--record]                                        how fast the simulator is
  scenarios [--bless] [--trace] [NAME ...]                the library, compared with the timelines that are kept
  play SCENARIO [SEED] [none|faults|chaos] [trace]        one scenario, and everything that happens
  soak [FROM] [TO] [none|faults|chaos] [SCENARIO]         all scenarios, many seeds";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    match command.as_str() {
        "bench" => bench::run(&arguments),
        "scenarios" => return scenarios::run(&arguments),
        "play" => play::run(&arguments),
        "soak" => soak::run(&arguments),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
