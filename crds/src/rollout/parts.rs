//! The analyses of a Rollout and the runs that its status names, wherever they stand.

use std::borrow::Cow;

use super::{AnalysisRunStatusRef, RolloutAnalysis, RolloutSpec, RolloutStatus};

impl RolloutSpec {
    /// All analyses with the path of the field of each: background, steps, before and after a promotion.
    pub fn analyses(&self) -> Vec<(String, Cow<'_, RolloutAnalysis>)> {
        let mut all = Vec::new();
        if let Some(canary) = self.canary() {
            if let Some(background) = &canary.analysis {
                let path = "spec.strategy.canary.analysis".to_owned();
                all.push((path, Cow::Owned(background.analysis())));
            }
            for (index, step) in canary.steps.iter().flatten().enumerate() {
                if let Some(analysis) = &step.analysis {
                    let path = format!("spec.strategy.canary.steps[{index}].analysis");
                    all.push((path, Cow::Borrowed(analysis)));
                }
            }
        }
        if let Some(blue_green) = self.blue_green() {
            for (name, analysis) in [
                ("prePromotionAnalysis", &blue_green.pre_promotion_analysis),
                ("postPromotionAnalysis", &blue_green.post_promotion_analysis),
            ] {
                if let Some(analysis) = analysis {
                    all.push((format!("spec.strategy.blueGreen.{name}"), Cow::Borrowed(analysis)));
                }
            }
        }
        all
    }
}

impl RolloutStatus {
    /// The AnalysisRuns that the status names.
    pub fn runs(&self) -> impl Iterator<Item = &AnalysisRunStatusRef> {
        let canary = self.canary.iter().flat_map(|canary| {
            [
                &canary.current_step_analysis_run_status,
                &canary.current_background_analysis_run_status,
            ]
        });
        let blue_green = self.blue_green.iter().flat_map(|blue_green| {
            [
                &blue_green.pre_promotion_analysis_run_status,
                &blue_green.post_promotion_analysis_run_status,
            ]
        });
        canary.chain(blue_green).flatten()
    }

    /// The places of the AnalysisRuns that the status names.
    pub fn runs_mut(&mut self) -> impl Iterator<Item = &mut Option<AnalysisRunStatusRef>> {
        let canary = self.canary.iter_mut().flat_map(|canary| {
            [
                &mut canary.current_step_analysis_run_status,
                &mut canary.current_background_analysis_run_status,
            ]
        });
        let blue_green = self.blue_green.iter_mut().flat_map(|blue_green| {
            [
                &mut blue_green.pre_promotion_analysis_run_status,
                &mut blue_green.post_promotion_analysis_run_status,
            ]
        });
        canary.chain(blue_green)
    }
}
