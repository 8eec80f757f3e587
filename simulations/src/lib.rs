//! Being written.
mod clock;
mod random;
mod store;
pub use random::{Millis, Random};
pub use clock::START;
pub use store::*;
