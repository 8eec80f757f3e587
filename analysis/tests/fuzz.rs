//! Mutated answers for every provider's parser, and mutated conditions for the evaluator.
//!
//! Each target has a corpus in `corpus/NAME/`, which is replayed first and then mutated, with a seed and for a time that the
//! environment gives: `SLUICE_FUZZ_SECONDS` for all targets together (5 in a plain test), `SLUICE_FUZZ_SEED` (1),
//! `SLUICE_FUZZ_TARGET` (all). An input that breaks a rule is written to its corpus, and is a test from then on. An input whose outcome is of a new
//! kind is mutated further. `cargo xtask fuzz` runs it for longer.

#![allow(clippy::unwrap_used, reason = "it is a test")]

mod targets;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use mutatis::{Candidates, Context, Generate, Mutate, Session, mutators};
use targets::{TARGETS, Target};

/// Words that parsers stumble over, beside those of the corpus.
const WORDS: &[&str] = &[
    "",
    "null",
    "true",
    "NaN",
    "\"NaN\"",
    "Infinity",
    "\"-Infinity\"",
    "1e999",
    "-0",
    "0.1",
    "9223372036854775808",
    "[",
    "]",
    "{",
    "}",
    "[]",
    "{}",
    "\"\"",
    "\"",
    "\\",
    "\\u0000",
    "\u{0}",
    "\u{feff}",
    ",",
    ":",
    "(",
    ")",
    "#",
    ".",
    "?.",
    "??",
    "nil",
    "result",
    "-",
    "&&",
    "[0]",
    ".x",
    "len(",
    "<",
    "!=",
];
/// Longest input. What is longer only takes longer.
const MAX_BYTES: usize = 16 * 1024;
/// Most inputs that are mutated further.
const MAX_POOL: usize = 2_000;
/// One input must be done within this time, on a busy machine and without optimisation.
const MAX_TIME: Duration = Duration::from_secs(20);

/// A piece of an input: a word, or what stands between words.
type Piece = Vec<u8>;

/// Replaces a piece by a known word.
struct Words(Vec<Piece>);

impl Mutate<Piece> for Words {
    fn mutate(&mut self, candidates: &mut Candidates<'_>, piece: &mut Piece) -> mutatis::Result<()> {
        candidates.mutation(|context| {
            *piece = self.generate(context)?;
            Ok(())
        })
    }
}

impl Generate<Piece> for Words {
    fn generate(&mut self, context: &mut Context) -> mutatis::Result<Piece> {
        Ok(context.rng().choose(&self.0).cloned().unwrap_or_default())
    }
}

fn pieces(input: &[u8]) -> Vec<Piece> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'+');
    input
        .chunk_by(|a, b| is_word(a) && is_word(b))
        .map(<[u8]>::to_vec)
        .collect()
}

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder(target))
        .unwrap_or_else(|error| panic!("the target {} has no corpus: {error}", target.name))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read(path).unwrap();
        if path.extension().is_some_and(|extension| extension == "base64") {
            STANDARD.decode(text).unwrap()
        } else {
            text
        }
    };
    paths.iter().map(read).collect()
}

/// Keeps an input in the corpus. The tree has text files only: other inputs are kept as base64.
fn keep(target: &Target, input: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let name = format!("crash-{:016x}", hasher.finish());
    let (name, text) = match std::str::from_utf8(input) {
        Ok(text) => (name, text.to_owned()),
        Err(_) => (format!("{name}.base64"), STANDARD.encode(input)),
    };
    let path = folder(target).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs one input. What goes wrong is told with the file that has the input.
fn run(target: &Target, input: &[u8]) -> Result<String, String> {
    let start = Instant::now();
    let problem = match catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        Ok(Ok(_)) if start.elapsed() > MAX_TIME => format!("it took {:?}", start.elapsed()),
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(broken)) => broken,
        Err(_) => "it panicked".to_owned(),
    };
    let path = keep(target, input);
    Err(format!("{}: {problem}: {}", target.name, path.display()))
}

/// What kind of outcome it is: without numbers and quoted texts.
fn kind(outcome: &str) -> String {
    let mut quoted = false;
    let mut kind = String::new();
    for c in outcome.chars() {
        if matches!(c, '`' | '"') {
            quoted = !quoted;
        } else if !quoted && !c.is_ascii_digit() {
            kind.push(c);
        }
    }
    kind.truncate(kind.char_indices().nth(60).map_or(kind.len(), |(at, _)| at));
    kind
}

/// Replays the corpus, then mutates it for `time`. The result says how many inputs there were, and how many kinds of outcomes.
fn fuzz(target: &Target, seed: u64, time: Duration) -> Result<(usize, usize), String> {
    let mut pool = corpus(target);
    assert!(!pool.is_empty(), "{}: the corpus is empty", target.name);
    let mut kinds = BTreeSet::new();
    for input in &pool {
        kinds.insert(kind(&run(target, input)?));
    }
    let mut words: BTreeSet<Piece> = pool.iter().flat_map(|input| pieces(input)).collect();
    words.extend(WORDS.iter().map(|word| word.as_bytes().to_vec()));
    let mut by_word = mutators::vec(Words(words.into_iter().collect()));
    let mut session = Session::new().seed(seed);
    let (start, mut inputs) = (Instant::now(), pool.len());
    while start.elapsed() < time {
        let mut input = pool[inputs % pool.len()].clone();
        // Few and many changes, by words and by bytes.
        for _ in 0..=(inputs % 4) {
            if inputs.is_multiple_of(5) {
                session.mutate(&mut input).unwrap();
            } else {
                let mut pieces = pieces(&input);
                session.mutate_with(&mut by_word, &mut pieces).unwrap();
                input = pieces.concat();
            }
        }
        input.truncate(MAX_BYTES);
        let is_new = kinds.insert(kind(&run(target, &input)?));
        if is_new && pool.len() < MAX_POOL {
            pool.push(input);
        }
        inputs += 1;
    }
    Ok((inputs, kinds.len()))
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`")))
}

#[test]
fn no_mutated_input_breaks_a_rule() {
    let seconds: f64 = variable("SLUICE_FUZZ_SECONDS").unwrap_or(5.0);
    let seed: u64 = variable("SLUICE_FUZZ_SEED").unwrap_or(1);
    let wanted: Option<String> = variable("SLUICE_FUZZ_TARGET");
    let is_wanted = |target: &&Target| wanted.as_ref().is_none_or(|name| name == target.name);
    let chosen: Vec<&'static Target> = TARGETS.iter().filter(is_wanted).collect();
    assert!(!chosen.is_empty(), "there is no such target");
    let time = Duration::from_secs_f64(seconds) / u32::try_from(chosen.len()).unwrap();
    let mut broken = Vec::new();
    for target in chosen {
        // The stack of a worker thread, halved.
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let done = thread.spawn(move || fuzz(target, seed, time)).unwrap().join().unwrap();
        match done {
            Ok((inputs, kinds)) => println!(
                "{}: {inputs} inputs, {kinds} kinds of outcomes, seed {seed}",
                target.name
            ),
            Err(problem) => broken.push(problem),
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_provider_that_is_served_has_a_target() {
    let served = targets::served_providers();
    assert!(!served.is_empty());
    for name in served {
        assert!(TARGETS.iter().any(|target| target.name == name), "{name} has no target");
    }
}
