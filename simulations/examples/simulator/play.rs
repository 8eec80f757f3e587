//! Plays a scenario and prints what happened: `play routed-good 1 [none|faults|chaos] [trace]`.

use jiff::SignedDuration;

pub fn run(arguments: &[String]) {
    let mut arguments = arguments.iter();
    let name = arguments.next().map_or("routed-good", String::as_str);
    let seed = arguments.next().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mode = arguments.next().map_or("", String::as_str);
    let traced = arguments.next().is_some();
    let until = SignedDuration::from_secs(200);
    for mut scenario in sluice_simulations::scenarios::all() {
        if scenario.name != name && name != "all" {
            continue;
        }
        scenario.config.trace = traced;
        scenario.config.record = true;
        let played = match mode {
            "faults" => scenario.play_with_faults(seed, until),
            "chaos" => scenario.play_with_chaos(seed, until),
            _ => scenario.play(seed),
        };
        if traced {
            print!("{}", played.cluster.trace());
        }
        print!("{}", sluice_simulations::report::text(&played.report()));
        println!(
            "== {} seed {seed}: settled {} at {}",
            scenario.name,
            played.settled,
            played.cluster.now()
        );
        for transition in played.cluster.observer().transitions() {
            let millis = transition.at.as_millisecond() - sluice_simulations::START.as_millisecond();
            println!("{:>8} {}", millis, transition.stand);
        }
        println!(
            "writes {} decisions {}",
            played.cluster.writes(),
            played.cluster.decisions()
        );
        println!(
            "{:?} lost {}",
            played.cluster.totals().served,
            played.cluster.totals().lost()
        );
        for loss in &played.cluster.totals().losses {
            println!("{loss:?}");
        }
        for violation in played.cluster.violations() {
            println!("{violation:?}");
        }
    }
}
