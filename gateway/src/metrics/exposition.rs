//! Every series of a node with its name, help and labels. docs/operating.md, "Series", has the same as a table.

use std::time::Duration;

use super::events::{Metrics, Present};
use super::kinds::Label;
use super::levels::{ClusterLevels, Levels, ProcessLevels};
use super::text::Text;
use crate::health::Reason;
use crate::limits::{LimitStats, Sharing};

impl Metrics {
    /// Everything, as Prometheus reads it.
    pub(crate) fn expose(&self, levels: &Levels) -> String {
        let mut text = Text::default();
        self.state(levels, &mut text);
        self.messages(&mut text);
        self.store(levels, &mut text);
        self.elsewhere(levels, &mut text);
        cluster(&levels.cluster, &mut text);
        self.mailboxes(levels, &mut text);
        self.connections(levels, &mut text);
        limits(levels, &mut text);
        self.rest(levels, &mut text);
        process(levels, &mut text);
        text.end()
    }

    fn state(&self, levels: &Levels, text: &mut Text) {
        text.levels(
            "endtoend_build_info",
            "Always 1; the label says which program this is.",
            "version",
            [(env!("CARGO_PKG_VERSION"), 1)],
        );
        text.levels("endtoend_store_info", "Always 1; the label says what the store is.", "kind", [(levels.store, 1)]);
        text.level(
            "endtoend_ready",
            "1 when the node can accept messages durably, as /readyz says.",
            u8::from(levels.reasons.is_empty()),
        );
        let reasons = Reason::ALL.iter().map(|reason| (reason.name(), u8::from(levels.reasons.contains(reason))));
        text.levels("endtoend_not_ready", "1 for each reason why it cannot.", "reason", reasons);
    }

    fn messages(&self, text: &mut Text) {
        text.counter(
            "endtoend_messages_received_total",
            "Envelopes that clients sent, repeats among them.",
            &self.sends,
        );
        text.counter("endtoend_messages_accepted_total", "Senders told that their envelope is safe.", &self.accepted);
        let help = "Senders told to repeat.";
        text.counters("endtoend_messages_retried_total", help, "reason", &self.retried);
        let help = "Senders told that their envelope will never be accepted.";
        text.counters("endtoend_messages_rejected_total", help, "reason", &self.rejected);
        let help = "Envelopes written to the connections of their devices.";
        text.counter("endtoend_messages_delivered_total", help, &self.delivered);
        let help = "Envelopes that devices have acknowledged.";
        text.counter("endtoend_messages_acknowledged_total", help, &self.acknowledged);
        let help = "From an envelope's arrival to the answer that it is safe.";
        text.histogram("endtoend_accept_seconds", help, &self.accept_times);
    }

    /// Of several nodes; zero on one that is alone.
    fn elsewhere(&self, levels: &Levels, text: &mut Text) {
        let help = "Devices that are connected here, by how far they are claimed.";
        let (here, claimed, exclusive) = levels.devices;
        let states = [("here", here), ("claimed", claimed), ("exclusive", exclusive)];
        text.levels("endtoend_claims_devices", help, "state", states);
        let help = "Devices that another node has claimed while they were here.";
        text.counter("endtoend_claims_lost_total", help, &self.claims_lost);
        let help = "Envelopes that went to the node that has their device.";
        text.counter("endtoend_forwards_total", help, &self.forwarded);
        let help = "Envelopes from other nodes that were told to come again before anything was done with them.";
        text.counter("endtoend_forwards_refused_total", help, &self.forwards_refused);
        let help = "Wake-ups for devices on other nodes, and from there.";
        let kinds = [("sent", self.wakes_sent.get()), ("heard", self.wakes_heard.get())];
        text.totals("endtoend_wakes_total", help, "kind", kinds.into_iter());
        let help = "Devices for which a sweep of the store has found rows.";
        text.counter("endtoend_claims_swept_devices_total", help, &self.swept_devices);
        let help = "Committed envelopes whose senders wait until other nodes know of them.";
        text.gauge("endtoend_claims_unwoken", help, &self.unwoken);
    }

    fn store(&self, levels: &Levels, text: &mut Text) {
        text.counter("endtoend_commits_total", "Commits of envelopes that have ended.", &self.commits);
        text.histogram("endtoend_commit_seconds", "What a commit takes, with its fsync.", &self.commit_times);
        text.histogram("endtoend_commit_rows", "Envelopes that one commit writes.", &self.commit_rows);
        text.histogram("endtoend_commit_deletes", "Envelopes that one commit deletes.", &self.commit_deletes);
        let help = "Envelopes that were never written because their device was faster.";
        text.counter("endtoend_writes_elided_total", help, &self.elided);
        let help = "Envelopes that wait for a commit.";
        text.gauge("endtoend_writer_appends_waiting", help, &self.appends_waiting);
        let help = "Deletions that wait for a commit.";
        text.gauge("endtoend_writer_deletes_waiting", help, &self.deletes_waiting);
        let help = "Age of the oldest envelope whose commit has not ended; 0 when there is none.";
        text.level("endtoend_writer_oldest_seconds", help, seconds(self.oldest_append_age(levels.now)));
        if let Some(oldest) = levels.oldest_waiting {
            let help = "Age of the envelope that has waited longest for its device; 0 when none waits.";
            text.level("endtoend_queue_oldest_seconds", help, seconds(oldest));
        }
        let help = "Calls to the store that failed.";
        text.counters("endtoend_store_errors_total", help, "call", &self.store_errors);
        text.counter("endtoend_sweeps_total", "Rounds in which expired rows were looked for.", &self.sweeps);
        text.counters("endtoend_expired_rows_total", "Expired rows that were forgotten.", "what", &self.swept);
    }

    fn mailboxes(&self, levels: &Levels, text: &mut Text) {
        text.level("endtoend_mailboxes", "Mailboxes that senders reach.", levels.mailboxes);
        let help = "Envelopes that mailboxes keep in memory beyond the windows of their devices.";
        text.gauge("endtoend_mailbox_tail_envelopes", help, &self.tail_envelopes);
        text.gauge("endtoend_mailbox_tail_bytes", "Bytes of the bodies of those.", &self.tail_bytes);
        let help = "Memory for sends that wait for an answer, its bound.";
        text.level("endtoend_send_memory_bytes", help, levels.memory);
        text.level("endtoend_send_memory_free_bytes", "What is left of it.", levels.memory_free);
    }

    fn connections(&self, levels: &Levels, text: &mut Text) {
        let present = Present::ALL.iter().map(|present| (present.as_str(), self.present_gauge(*present).get()));
        text.levels("endtoend_connections", "WebSockets by how far they have come.", "state", present);
        let help = "Open connections from their TLS handshake on, those that are no WebSocket yet among them.";
        text.level("endtoend_sockets", help, levels.sockets);
        text.level("endtoend_sockets_max", "As many the node admits at one time.", levels.connections_max);
        text.counter("endtoend_connections_opened_total", "WebSockets that were opened.", &self.connections_opened);
        text.level("endtoend_accounts_online", "Accounts with a connection.", levels.accounts_online);
        let help = "Steps from a socket to a login that were taken.";
        text.counters("endtoend_handshakes_done_total", help, "step", &self.steps_done);
        let help = "Steps that failed, whoever is to blame.";
        text.counters("endtoend_handshakes_failed_total", help, "step", &self.steps_failed);
        text.counters("endtoend_closings_total", "Connections that the node ended.", "reason", &self.closings);
        text.counter(
            "endtoend_requests_total",
            "Requests of clients that were carried out or refused.",
            &self.requests,
        );
        text.gauge("endtoend_requests_in_flight", "Requests that are under way.", &self.requests_in_flight);
        text.counters("endtoend_refusals_total", "Refusals of requests and frames.", "code", &self.refusals);
    }

    fn rest(&self, levels: &Levels, text: &mut Text) {
        text.level("endtoend_audit_waiting", "Entries of the audit that wait to be written.", levels.audit_waiting);
        let help = "Entries that were not written, or not confirmed.";
        text.total("endtoend_audit_missed_total", help, levels.audit_missed);
        let help = "News of other nodes, and logins here, that wait to be looked up in the store.";
        text.level("endtoend_doubts_waiting", help, levels.doubts_waiting);
        let help = "When the TLS certificate ends, in Unix time; it is renewed at half its life.";
        let expires = Duration::from_millis(self.certificate_expires().get());
        text.level("endtoend_certificate_expires_timestamp_seconds", help, seconds(expires));
    }
}

/// Of several nodes; zero on one that is alone.
fn cluster(levels: &ClusterLevels, text: &mut Text) {
    text.level("endtoend_cluster_term", "Grows with each election.", levels.term);
    text.level("endtoend_cluster_leads", "1 on the node that leads with a majority.", u8::from(levels.leads));
    let help = "1 when this node knows a leader with a majority.";
    text.level("endtoend_cluster_led", help, u8::from(levels.led));
    let states = ["pending", "joining", "active", "draining"].into_iter().zip(levels.members);
    text.levels("endtoend_cluster_members", "Nodes of the cluster by where they stand.", "state", states);
    text.level("endtoend_cluster_voters", "Those of them who vote.", levels.voters);
    let ends = ["written", "applied"].into_iter().zip(levels.log);
    text.levels("endtoend_cluster_log_index", "Up to where this node has the log.", "end", ends);
    text.level("endtoend_cluster_log_bytes", "Bytes of the log on disk.", levels.log_bytes);
    let help = "1 when the directory of claims in Redis answers.";
    text.level("endtoend_cluster_claims_answer", help, u8::from(levels.claims_answer));
    let help = "When this node's certificate for links ends, in Unix time; it is renewed at half its life.";
    let name = "endtoend_cluster_certificate_expires_timestamp_seconds";
    text.level(name, help, seconds(levels.certificate_expires));
    let links = ["living", "wanted"].into_iter().zip(levels.links);
    text.levels("endtoend_links", "Links to other nodes.", "state", links);
    text.total("endtoend_link_lives_total", "Links that were made.", levels.link_lives);
    let directions = ["read", "written"].into_iter().zip(levels.link_bytes);
    text.totals("endtoend_link_bytes_total", "Bytes of frames on links.", "direction", directions);
    let queues = ["control", "traffic"].into_iter().zip(levels.link_waiting_bytes);
    text.levels("endtoend_link_waiting_bytes", "Bytes that wait to be written to links.", "queue", queues);
    let help = "What was to be sent over a link and found no room.";
    text.total("endtoend_link_no_room_total", help, levels.link_no_room);
    let help = "How long the slowest of the other nodes took to answer a ping.";
    text.level("endtoend_link_rtt_seconds", help, seconds(levels.link_rtt));
}

fn limits(levels: &Levels, text: &mut Text) {
    let by =
        |value: fn(&LimitStats) -> u64| levels.limits.iter().map(move |stats| (stats.operation.name(), value(stats)));
    let label = "operation";
    text.totals("endtoend_limit_allowed_total", "Operations within their limit.", label, by(|stats| stats.allowed));
    text.totals("endtoend_limit_refused_total", "Operations beyond it.", label, by(|stats| stats.refused));
    let help = "Accounts, devices and addresses that are counted at the moment.";
    text.levels("endtoend_limit_subjects", help, label, by(|stats| stats.subjects));
    let sharing = Sharing::ALL.iter().map(|sharing| (sharing.name(), u8::from(*sharing == levels.sharing)));
    let help =
        "1 for whose cells decide: this node's alone, the cluster's in Redis, or this node's while Redis is away.";
    text.levels("endtoend_limit_sharing", help, "state", sharing);
}

/// Under the names that every process has in Prometheus.
fn process(levels: &Levels, text: &mut Text) {
    let ProcessLevels { resident_bytes, cpu, open_fds, fds_max } = levels.process;
    text.level("process_resident_memory_bytes", "Resident memory.", resident_bytes);
    text.total("process_cpu_seconds_total", "Processor time, of user and system.", seconds(cpu));
    text.level("process_open_fds", "Open file descriptors.", open_fds);
    text.level("process_max_fds", "Bound of open file descriptors.", fds_max);
    let help = "When the node started, in Unix time.";
    text.level("process_start_time_seconds", help, seconds(Duration::from_millis(levels.started.get())));
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
