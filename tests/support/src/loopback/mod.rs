//! What homeservers need to speak to each other on the loopback: an authority, names with ports, and signatures.

mod authority;
mod front;
mod signer;

pub use self::authority::{Authority, Certificate};
pub use self::front::Front;
pub use self::signer::Signer;
