//! Invitations, accounts, the audit and the limits: from a request to what is done, and to what is shown of it.

use std::time::Duration;

use endtoend_protocol::{AccountTag, InviteCode, UnixMillis};
use endtoend_storage::{AccountSummary, AuditQuery, AuditRow, AuditVerdict, Invite, InviteHash};

use super::context::AdminContext;
use super::request::{AdminAnswer, AdminRequest, AuditView, InviteView, LimitView, Named, UserView};
use crate::clock;
use crate::commands::Failure;
use crate::limits::LimitStats;
use crate::services::{OperatorError, Services, Who};

/// Accounts of one answer.
const USERS_MAX: u32 = 200;
/// Rows of the audit of one answer.
const ROWS_MAX: u32 = 200;
const TAG_BYTES: usize = 32;
/// Bytes of an invitation's hash that name it.
const ID_BYTES: usize = 8;

pub(super) async fn execute(request: AdminRequest, context: &AdminContext) -> Result<AdminAnswer, Failure> {
    if matches!(request, AdminRequest::AbuseStats {}) {
        return abuse(context);
    }
    let (services, now) = (context.services()?, clock::now());
    Ok(match request {
        AdminRequest::InviteCreate { uses, life_ms, note } => {
            let (code, invite) = services.create_invite(uses, Duration::from_millis(life_ms), note, now).await?;
            AdminAnswer::InviteCreated { code: code.to_string(), invite: invite_view(invite) }
        }
        AdminRequest::InviteList {} => {
            let invites = services.invites(now).await?.into_iter().map(invite_view).collect();
            let registration = context.running.as_ref().map(|running| running.config.accounts.registration);
            AdminAnswer::Invites { registration, invites }
        }
        AdminRequest::InviteRevoke { invite } => {
            let hash = find_invite(services, &invite, now).await?;
            services.revoke_invite(hash, now).await?;
            AdminAnswer::InviteRevoked {}
        }
        AdminRequest::UserList { prefix, after } => {
            let after = after.map(|after| AccountTag::from_slice(&tag_bytes(&after)?).map_err(Failure::from));
            let users = services.list_accounts(&tag_bytes(&prefix)?, after.transpose()?, USERS_MAX).await?;
            AdminAnswer::Users { more: users.len() == USERS_MAX as usize, users: users.iter().map(user_view).collect() }
        }
        AdminRequest::UserShow { who } => AdminAnswer::User(user_view(&services.find(&named(who)?).await?)),
        AdminRequest::UserDisable { who, disabled } => {
            AdminAnswer::User(user_view(&services.disable(&named(who)?, disabled, now).await?))
        }
        AdminRequest::UserDelete { who } => AdminAnswer::User(user_view(&services.delete(&named(who)?, now).await?)),
        AdminRequest::Audit { who, event, since_ms, until_ms, after, last, max } => {
            let account = match who {
                Some(who) => Some(services.pseudonym(&named(who)?).await?),
                None => None,
            };
            let after = match last {
                Some(last) => services.audit_end().await?.saturating_sub(last.into()),
                None => after,
            };
            let max = max.clamp(1, ROWS_MAX);
            let query = AuditQuery { account, event, since: UnixMillis::new(since_ms), after, max };
            page(services.audit_rows(&query).await?, &query, until_ms)
        }
        AdminRequest::AuditVerify {} => match services.verify_audit().await? {
            AuditVerdict::Intact { rows } => AdminAnswer::AuditVerdict { rows: Some(rows), broken: None },
            AuditVerdict::Broken { seq } => AdminAnswer::AuditVerdict { rows: None, broken: Some(seq) },
        },
        AdminRequest::Status {}
        | AdminRequest::Backup { .. }
        | AdminRequest::AbuseStats {}
        | AdminRequest::Cluster(_) => {
            return Err(Failure::new("this is no command on accounts"));
        }
    })
}

fn abuse(context: &AdminContext) -> Result<AdminAnswer, Failure> {
    let Some(running) = &context.running else {
        return Err(Failure::new("the node is stopped: limits and their numbers live as long as it runs"));
    };
    let services = context.services()?;
    let limits = &running.config.limits;
    let view = |stats: LimitStats| {
        let limit = limits.of(stats.operation);
        LimitView {
            operation: stats.operation,
            burst: limit.burst.get(),
            every_ms: limit.every_ms.get(),
            allowed: stats.allowed,
            refused: stats.refused,
            worked: stats.worked,
            subjects: stats.subjects,
        }
    };
    let (accounts, connections) = services.sessions.count();
    Ok(AdminAnswer::Abuse {
        connections: connections as u64,
        accounts: accounts as u64,
        limits: services.limits.stats().into_iter().map(view).collect(),
    })
}

fn page(rows: Vec<AuditRow>, query: &AuditQuery, until_ms: Option<u64>) -> AdminAnswer {
    let next = rows.last().map_or(query.after, |row| row.seq);
    let full = rows.len() == query.max as usize;
    let is_within = |row: &AuditRow| until_ms.is_none_or(|until| row.entry.at.get() <= until);
    AdminAnswer::Audit { rows: rows.into_iter().filter(is_within).map(audit_view).collect(), next, more: full }
}

fn named(who: Named) -> Result<Who, Failure> {
    match who {
        Named::Tag(tag) => {
            let bytes = tag_bytes(&tag)?;
            if bytes.len() < 4 {
                return Err(Failure::new("give the tag, or at least its first 8 digits"));
            }
            Ok(Who::Tag(bytes))
        }
        Named::Handle(handle) => Ok(Who::Handle(handle.parse()?)),
    }
}

fn tag_bytes(hex_digits: &str) -> Result<Vec<u8>, Failure> {
    match hex::decode(hex_digits.trim_start_matches('#')) {
        Ok(bytes) if bytes.len() <= TAG_BYTES => Ok(bytes),
        _ => Err(Failure::new("an account's tag has 64 hex digits; its beginning, an even number of them")),
    }
}

/// By its code or by the id that the list shows.
async fn find_invite(services: &Services, text: &str, now: UnixMillis) -> Result<InviteHash, Failure> {
    if let Ok(code) = text.parse::<InviteCode>() {
        return Ok(services.invite_hash(&code));
    }
    let listed = services.invites(now).await?;
    let found = listed.into_iter().find(|invite| invite_id(invite.hash) == text.to_ascii_lowercase());
    found.map(|invite| invite.hash).ok_or_else(|| OperatorError::NoInvite.into())
}

fn invite_id(InviteHash(hash): InviteHash) -> String {
    hex::encode(hash.first_chunk::<ID_BYTES>().map_or(&[][..], |id| id))
}

fn invite_view(invite: Invite) -> InviteView {
    InviteView {
        id: invite_id(invite.hash),
        note: invite.note,
        uses: invite.uses_max,
        uses_left: invite.uses_left,
        created_at_ms: invite.created_at.get(),
        expires_at_ms: invite.expires_at.get(),
    }
}

fn user_view(account: &AccountSummary) -> UserView {
    UserView {
        tag: hex::encode(account.tag.as_bytes()),
        created_at_ms: account.created_at.get(),
        disabled_at_ms: account.disabled_at.map(UnixMillis::get),
        devices: account.devices,
        queued_envelopes: account.queued,
    }
}

fn audit_view(AuditRow { seq, entry, .. }: AuditRow) -> AuditView {
    AuditView {
        seq,
        at_ms: entry.at.get(),
        account: entry.account.map(|name| hex::encode(name.0)),
        device: entry.device.map(|device| device.get()),
        event: entry.event,
        outcome: entry.outcome,
        signals: entry.signals,
    }
}
