//! Where a command of the proxy's own runs.

use crate::clients::Client;
use crate::session::Session;
use crate::shared::Shared;

/// Where a command of the proxy's own runs.
pub(crate) struct Context<'a> {
    /// The server.
    pub(crate) shared: &'a Shared,
    /// The connection's state.
    pub(crate) session: &'a mut Session,
    /// The connection, as others see it.
    pub(crate) client: &'a Client,
}
