//! What a Revision says about its scaling.

use pelton_resource::serving::{
    AutoscalerClass, AutoscalingDefaults, AutoscalingSettings, Metric as SaidMetric, Revision, RoutingState,
    revision_settings,
};

use crate::{Aggregation, BurstCapacity, Metric, Spec, Target, TargetDefaults, TargetSettings};

impl Spec {
    /// What `revision` says, and `defaults` where it says nothing.
    #[must_use]
    pub fn of(revision: &Revision, defaults: &AutoscalingDefaults) -> Self {
        let concurrency = revision.spec.container_concurrency.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let said = AutoscalingSettings::of(&revision.metadata.annotations, defaults);
        let metric = match said.metric {
            SaidMetric::RequestsPerSecond => Metric::RequestsPerSecond,
            // What else there is belongs to other classes, which scale by what is on its way here, too.
            _ => Metric::Concurrency,
        };
        let target = TargetSettings {
            metric,
            container_concurrency: concurrency,
            target: said.target,
            utilization: Some(said.target_utilization),
        };
        let target_defaults = match metric {
            Metric::Concurrency => TargetDefaults { concurrency: said.default_target, ..TargetDefaults::default() },
            Metric::RequestsPerSecond => {
                TargetDefaults { requests_per_second: said.default_target, ..TargetDefaults::default() }
            }
        };
        let is_kpa = matches!(said.class, AutoscalerClass::Kpa);
        Self {
            metric,
            target: Target::new(&target, &target_defaults),
            burst_capacity: if said.target_burst_capacity < 0.0 {
                BurstCapacity::Unlimited
            } else {
                BurstCapacity::Of(said.target_burst_capacity)
            },
            max_scale_up_rate: said.max_scale_up_rate,
            max_scale_down_rate: said.max_scale_down_rate,
            panic_threshold: said.panic_threshold_percentage / 100.0,
            stable_window: said.stable_window,
            panic_window_percentage: said.panic_window_percentage,
            activation_scale: said.activation_scale.max(1),
            scale_down_delay: said.scale_down_delay,
            aggregation: match said.aggregation {
                pelton_resource::serving::Aggregation::Linear => Aggregation::Linear,
                pelton_resource::serving::Aggregation::WeightedExponential => Aggregation::WeightedExponential,
            },
            min_scale: said.min_scale,
            max_scale: said.max_scale,
            initial_scale: said.initial_scale,
            enable_scale_to_zero: said.enable_scale_to_zero && is_kpa,
            scale_to_zero_grace_period: said.scale_to_zero_grace_period,
            scale_to_zero_retention_period: said.scale_to_zero_pod_retention_period,
            progress_deadline: revision_settings(revision).progress_deadline,
            reachable: revision.routing_state() != Some(RoutingState::Reserve),
        }
    }
}
