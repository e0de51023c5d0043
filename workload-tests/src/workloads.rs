//! The workloads. Each file is one of them, and all have the same rooms: what it is, how it is prepared, how it runs.

use crate::{budget::Budget, workload::Workload};

mod batch;
pub mod files_grep_large;
pub mod files_many_small;
pub mod web_embedded;
pub mod web_nginx_static;

/// All workloads, in the order in which they run. Starts nothing.
#[must_use]
pub fn all(budget: Budget) -> Vec<Box<dyn Workload>> {
    vec![
        Box::new(web_embedded::Embedded),
        Box::new(web_nginx_static::NginxStatic),
        Box::new(files_many_small::ManySmall),
        Box::new(files_grep_large::GrepLarge {
            mebibytes: budget.log_mebibytes(),
        }),
    ]
}
