//! What people and machines read. [`files::write`] writes it all.

pub mod advice;
pub mod csv;
pub mod files;
pub mod github;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod table;
mod words;
