//! Futures behind a dynamic boundary.

/// A future in a box: one allocation for each *pipeline*, not each command.
pub type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
