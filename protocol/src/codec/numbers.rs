//! Closed lists, by their numbers.

use crate::frame::{ClosingReason, RefusalCode};
use crate::wire;

pub(super) fn refusal_code(code: wire::RefusalCode) -> RefusalCode {
    use wire::RefusalCode as W;
    match code {
        W::Unsupported | W::Unspecified => RefusalCode::Unsupported,
        W::Invalid => RefusalCode::Invalid,
        W::Version => RefusalCode::Version,
        W::OutOfOrder => RefusalCode::OutOfOrder,
        W::NotAuthenticated => RefusalCode::NotAuthenticated,
        W::BadCredentials => RefusalCode::BadCredentials,
        W::HandleTaken => RefusalCode::HandleTaken,
        W::RegistrationClosed => RefusalCode::RegistrationClosed,
        W::UnknownAccount => RefusalCode::UnknownAccount,
        W::TooManyKeys => RefusalCode::TooManyKeys,
        W::Busy => RefusalCode::Busy,
        W::Unavailable => RefusalCode::Unavailable,
        W::ServerPassword => RefusalCode::ServerPassword,
        W::Invite => RefusalCode::Invite,
        W::Rate => RefusalCode::Rate,
        W::Work => RefusalCode::Work,
        W::TooManyDevices => RefusalCode::TooManyDevices,
        W::DeviceWaits => RefusalCode::DeviceWaits,
        W::Disabled => RefusalCode::Disabled,
        W::UnknownLink => RefusalCode::UnknownLink,
        W::UnknownDevice => RefusalCode::UnknownDevice,
        W::UnknownBlob => RefusalCode::UnknownBlob,
        W::BlobElsewhere => RefusalCode::BlobElsewhere,
        W::BlobBudget => RefusalCode::BlobBudget,
    }
}
pub(super) fn refusal_code_number(code: RefusalCode) -> wire::RefusalCode {
    use wire::RefusalCode as W;
    match code {
        RefusalCode::Unsupported => W::Unsupported,
        RefusalCode::Invalid => W::Invalid,
        RefusalCode::Version => W::Version,
        RefusalCode::OutOfOrder => W::OutOfOrder,
        RefusalCode::NotAuthenticated => W::NotAuthenticated,
        RefusalCode::BadCredentials => W::BadCredentials,
        RefusalCode::HandleTaken => W::HandleTaken,
        RefusalCode::RegistrationClosed => W::RegistrationClosed,
        RefusalCode::UnknownAccount => W::UnknownAccount,
        RefusalCode::TooManyKeys => W::TooManyKeys,
        RefusalCode::Busy => W::Busy,
        RefusalCode::Unavailable => W::Unavailable,
        RefusalCode::ServerPassword => W::ServerPassword,
        RefusalCode::Invite => W::Invite,
        RefusalCode::Rate => W::Rate,
        RefusalCode::Work => W::Work,
        RefusalCode::TooManyDevices => W::TooManyDevices,
        RefusalCode::DeviceWaits => W::DeviceWaits,
        RefusalCode::Disabled => W::Disabled,
        RefusalCode::UnknownLink => W::UnknownLink,
        RefusalCode::UnknownDevice => W::UnknownDevice,
        RefusalCode::UnknownBlob => W::UnknownBlob,
        RefusalCode::BlobElsewhere => W::BlobElsewhere,
        RefusalCode::BlobBudget => W::BlobBudget,
    }
}
pub(super) fn closing_reason(reason: wire::ClosingReason) -> ClosingReason {
    use wire::ClosingReason as W;
    match reason {
        W::Malformed => ClosingReason::Malformed,
        W::TooLarge => ClosingReason::TooLarge,
        W::TooSlow => ClosingReason::TooSlow,
        W::TooManyErrors => ClosingReason::TooManyErrors,
        W::Replaced => ClosingReason::Replaced,
        W::ChannelBroken => ClosingReason::ChannelBroken,
        W::Removed => ClosingReason::Removed,
        W::ShuttingDown | W::Unspecified => ClosingReason::ShuttingDown,
    }
}
pub(super) fn closing_number(reason: ClosingReason) -> wire::ClosingReason {
    use wire::ClosingReason as W;
    match reason {
        ClosingReason::Malformed => W::Malformed,
        ClosingReason::TooLarge => W::TooLarge,
        ClosingReason::TooSlow => W::TooSlow,
        ClosingReason::TooManyErrors => W::TooManyErrors,
        ClosingReason::Replaced => W::Replaced,
        ClosingReason::ChannelBroken => W::ChannelBroken,
        ClosingReason::Removed => W::Removed,
        ClosingReason::ShuttingDown => W::ShuttingDown,
    }
}
