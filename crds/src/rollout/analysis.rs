//! Which analyses a Rollout runs, and with what arguments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_string::open_string;
use crate::{AnalysisRunMetadata, AnalysisTemplateRef, DryRun, FieldRef, MeasurementRetention};

/// An analysis to run: templates and the arguments for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutAnalysis {
    /// The templates whose metrics make up the analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templates: Option<Vec<AnalysisTemplateRef>>,
    /// Arguments for the templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<RolloutAnalysisArgument>>,
    /// Metrics whose results are recorded but do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<Vec<DryRun>>,
    /// How many measurements of which metrics are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurement_retention: Option<Vec<MeasurementRetention>>,
    /// Labels and annotations for the AnalysisRun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis_run_metadata: Option<AnalysisRunMetadata>,
}

/// An analysis that runs beside the steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutAnalysisBackground {
    /// The templates whose metrics make up the analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templates: Option<Vec<AnalysisTemplateRef>>,
    /// Arguments for the templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<RolloutAnalysisArgument>>,
    /// Metrics whose results are recorded but do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<Vec<DryRun>>,
    /// How many measurements of which metrics are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurement_retention: Option<Vec<MeasurementRetention>>,
    /// Labels and annotations for the AnalysisRun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis_run_metadata: Option<AnalysisRunMetadata>,
    /// Index of the step with which the analysis starts. Defaults to 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_step: Option<i32>,
}

impl RolloutAnalysisBackground {
    /// The analysis without its starting step, in the form that the other analyses have.
    pub fn analysis(&self) -> RolloutAnalysis {
        RolloutAnalysis {
            templates: self.templates.clone(),
            args: self.args.clone(),
            dry_run: self.dry_run.clone(),
            measurement_retention: self.measurement_retention.clone(),
            analysis_run_metadata: self.analysis_run_metadata.clone(),
        }
    }
}

/// An argument for the templates of an analysis. One of value and valueFrom should be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutAnalysisArgument {
    /// Name of the argument.
    pub name: String,
    /// Value of the argument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<RolloutArgumentValueFrom>,
}

/// Where the value of an argument comes from. Exactly one field must be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutArgumentValueFrom {
    /// The pod template hash of a version: `Stable` or `Latest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_hash_value: Option<PodTemplateHashOf>,
    /// A field of the Rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldRef>,
}

open_string! {
    /// The version whose pod template hash is meant.
    pub enum PodTemplateHashOf {
        /// The version that is fully rolled out.
        Stable = "Stable",
        /// The version of the current pod template.
        Latest = "Latest",
    }
}
