//! The workloads. Each file is one of them, and all have the same rooms: what it is, how it is prepared, how it runs.

use crate::{budget::Budget, workload::Workload};

mod bank;
mod batch;
mod build_churn;
pub mod build_cpp_make;
pub mod build_embedded;
mod compile;
pub mod container_embedded;
pub mod container_engine;
pub mod db_embedded;
pub mod db_mysql;
pub mod db_postgres;
pub mod files_awk_sum;
pub mod files_backup;
pub mod files_grep_large;
pub mod files_many_small;
mod program;
pub(crate) mod rootfs;
pub mod web_embedded;
pub mod web_nginx_static;
pub mod web_node_api;

/// All workloads, in the order in which they run. Starts nothing.
#[must_use]
pub fn all(budget: Budget) -> Vec<Box<dyn Workload>> {
    vec![
        Box::new(web_embedded::Embedded),
        Box::new(web_nginx_static::NginxStatic),
        Box::new(web_node_api::NodeApi),
        Box::new(db_embedded::Embedded),
        Box::new(db_postgres::Postgres),
        Box::new(db_mysql::Mysql),
        Box::new(build_embedded::Embedded {
            unit: budget.build(),
        }),
        Box::new(build_cpp_make::CppMake {
            tree: match budget {
                Budget::Thorough => build_cpp_make::Tree::Protobuf,
                _ => build_cpp_make::Tree::LevelDb,
            },
            unit: budget.build(),
        }),
        Box::new(container_embedded::Embedded),
        Box::new(container_engine::ContainerEngine),
        Box::new(files_many_small::ManySmall),
        Box::new(files_grep_large::GrepLarge {
            mebibytes: budget.log_mebibytes(),
        }),
        Box::new(files_awk_sum::AwkSum),
        Box::new(files_backup::Backup),
    ]
}
