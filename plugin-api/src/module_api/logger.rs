//! A logger to hand to who wants one explicitly.

use super::ModuleApi;

/// Writes records to the host's log, under the module's name; made by [`ModuleApi::logger`].
#[derive(Debug, Clone)]
pub struct Logger(ModuleApi);

impl ModuleApi {
    /// A logger that writes to the host's log, for a library that wants one explicitly. As in Synapse's `logger`.
    ///
    /// The macros of the `log` crate need none. Unlike them it also says for certain which instance a record is of when
    /// a library has several and the record comes from a thread of its own.
    ///
    /// ```
    /// # use presence_router_api::ModuleApi;
    /// use log::Log;
    ///
    /// fn report(api: &ModuleApi) {
    ///     let logger = api.logger();
    ///     logger.log(&log::Record::builder().args(format_args!("ready")).level(log::Level::Info).build());
    ///     log::info!(logger: logger, "with version 0.4.29 of log and later");
    /// }
    /// ```
    pub fn logger(&self) -> Logger {
        Logger(self.clone())
    }
}

impl log::Log for Logger {
    /// Whether the host writes records of this level at all.
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= self.0.max_log_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0
                .log(record.level(), record.target(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}
