//! The program: reads arguments, runs one command, ends with its exit code.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
use sluice_plugin::{
    cli::{self, Cli},
    text::{Screen, clean},
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Fails only when somebody installed one before, and then there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.into()),
    };
    let mut out = std::io::stdout();
    let terminal = out.is_terminal();
    let mut screen = Screen::new(&mut out, terminal, cli.wants_colour()).sized(size);
    match runtime.block_on(cli::run(cli, &mut screen)) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

/// Columns and lines of the terminal.
fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some((columns, rows))
}

fn complain(error: &anyhow::Error) -> ExitCode {
    // When even stderr is closed there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "error: {}", clean(&format!("{error:#}")));
    ExitCode::FAILURE
}

/// Whoever reads our output has seen enough (`| head`).
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
