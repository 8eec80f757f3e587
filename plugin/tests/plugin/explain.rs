//! `explain`: what happens next if nothing changes.

use sluice_machine::Hold;
use sluice_plugin::explain::{Recollection, advice, explain, foresee};
use sluice_plugin::observe::observe;

use crate::{
    api::Api,
    fixtures::{now, shop},
};

#[tokio::test]
async fn the_end_of_a_pause_and_the_step_after_it_are_foreseen() {
    let cluster = Api::with(shop()).cluster();
    let mut observation = observe(&cluster, "backend").await.unwrap();
    let plan = explain(&cluster, &mut observation, &mut Recollection::default(), now()).await;
    assert!(matches!(plan.hold, Some(Hold::Paused { .. })), "{:?}", plan.hold);
    let moments = foresee(&observation.world, &plan);
    assert_eq!(
        moments.len(),
        1,
        "after the first effect nothing is certain: {moments:?}"
    );
    assert_eq!(moments[0].at.to_string(), "2026-03-01T12:05:00Z");
    assert!(
        moments[0]
            .events
            .iter()
            .any(|event| event == "Rollout step 2/4 completed (pause: 10m)"),
        "{moments:?}"
    );
    assert_eq!(moments[0].effects, ["scale ReplicaSet backend-7b6c4d from 1 to 2 pods"]);
    let advice = advice(&plan.hold.unwrap(), "backend").unwrap();
    assert!(advice.contains("kubectl sluice promote backend"), "{advice}");
}
