//! The same seed gives the same trace, byte for byte; another seed gives another one.

use jiff::SignedDuration;
use sluice_simulations::scenarios;

#[test]
fn the_same_seed_gives_the_same_trace_with_and_without_faults() {
    for mut scenario in scenarios::all() {
        scenario.config.trace = true;
        let trace = |seed| scenario.play(seed).cluster.trace().to_owned();
        assert!(trace(5) == trace(5), "{}: two traces of seed 5 differ", scenario.name);
        assert!(
            trace(5) != trace(6),
            "{}: the traces of seeds 5 and 6 are the same",
            scenario.name
        );
        let faulty = || {
            scenario
                .play_with_faults(5, SignedDuration::from_secs(150))
                .cluster
                .trace()
                .to_owned()
        };
        assert!(
            faulty() == faulty(),
            "{}: two faulty traces of seed 5 differ",
            scenario.name
        );
    }
}
