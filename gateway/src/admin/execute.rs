//! From a request to its answer, the same on a running and on a stopped node.

use super::PROGRESS_INTERVAL;
use super::cluster;
use super::context::AdminContext;
use super::operators;
use super::request::{AdminAnswer, AdminRequest, Progress, Reporter, RunningStatus, Status};
use crate::backup;
use crate::commands::Failure;
use endtoend_protocol::UnixMillis;
use tokio::sync::watch;

/// Does what is asked. Dropped half-way, it leaves nothing half done behind.
pub(crate) async fn execute(request: AdminRequest, context: &AdminContext, reporter: &Reporter) -> AdminAnswer {
    let answer = match request {
        AdminRequest::Status {} => status(context).await.map(AdminAnswer::Status),
        AdminRequest::Backup { to } => {
            backup::make(context, &to, reporter).await.map(AdminAnswer::Backup).map_err(Failure::from)
        }
        AdminRequest::Cluster(request) => cluster::execute(request, context).await,
        request => operators::execute(request, context).await,
    };
    answer.unwrap_or_else(AdminAnswer::Failed)
}

/// [`execute`], and `report` now and then, until it fails: then nobody waits any more, and the work is given up.
pub(super) async fn execute_reporting<E>(
    request: AdminRequest,
    context: &AdminContext,
    mut report: impl AsyncFnMut(Progress) -> Result<(), E>,
) -> Result<AdminAnswer, E> {
    let (reporter, mut progress) = watch::channel(Progress::default());
    let mut work = std::pin::pin!(execute(request, context, &reporter));
    let mut interval = tokio::time::interval(PROGRESS_INTERVAL);
    interval.reset();
    loop {
        tokio::select! {
            answer = &mut work => return Ok(answer),
            _ = interval.tick() => {
                let now = progress.borrow_and_update().clone();
                report(now).await?;
            }
        }
    }
}

async fn status(context: &AdminContext) -> Result<Status, Failure> {
    let stats = context.store.stats().await?;
    let running = match &context.running {
        None => None,
        Some(running) => Some(RunningStatus {
            since_ms: running.since.get(),
            state: running.lifecycle.borrow().as_str().to_owned(),
            listen: running.listen.to_string(),
            address: running.address.clone(),
            pid: std::process::id(),
            admin: running.admin.map(|admin| admin.to_string()),
            not_ready: running.readiness.reasons().await.into_iter().map(|reason| reason.as_str().to_owned()).collect(),
            onion: running.onion.as_ref().map(|onion| Box::new(onion.view())),
        }),
    };
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        running,
        data: context.data.clone(),
        schema: stats.schema,
        accounts: stats.accounts,
        devices: stats.devices,
        queued_envelopes: stats.queued_envelopes,
        oldest_accepted_ms: stats.oldest_accepted_at.map(UnixMillis::get),
        database_bytes: stats.bytes,
    })
}
