//! The Hugging Face hub: files fetched into its cache, and bundles pushed.
//!
//! ```text
//! Endpoint      address, cache, token of the user       endpoint.rs
//! BundleAddress, FileAddress, RepoName                  address.rs, revision.rs
//! Client        requests, repeated where they may be    client.rs, request.rs, origin.rs, failure.rs
//! bundle, data_file                                     fetch.rs over download.rs, cache.rs, content_hash.rs
//! push          a bundle as one commit                  push.rs over repository.rs, large_files.rs, commit.rs
//! card          metadata in front of a model card       card.rs
//! ```
//!
//! hf-hub lays out the cache, and ureq sends every request. The client of hf-hub 0.5 cannot upload, and sends the
//! user's token to other hosts that the hub redirects to. hf-hub 1.0 uploads, over an async runtime and the Xet stack.
//! Large files are uploaded by the Git LFS protocol, which the hub accepts for every repository.

mod address;
mod cache;
mod card;
mod client;
mod commit;
mod content_hash;
mod download;
mod endpoint;
mod failure;
mod fetch;
mod large_files;
mod origin;
mod push;
mod repository;
mod request;
mod revision;

pub use address::{BundleAddress, FileAddress, RepoName};
pub use endpoint::Endpoint;
pub use fetch::{bundle, data_file};
pub use push::{Push, Pushed, push};
pub use revision::Revision;
