//! The letters.

use grimoire_proto::auth::v1::GetNotificationResponse;

use super::phrases::{Step, facts, hello, if_not, until};
use super::{Letter, Links};

/// Whoever registers an address also chooses the name, and may not be its owner: this mail must not carry their words.
pub(super) fn registration(notification: &GetNotificationResponse, links: &Links) -> Letter {
    let step = Step {
        call: "accounts:completeRegistration",
        password: Some("password"),
        purpose: "",
    };
    Letter {
        subject: "Finish your registration",
        body: format!(
            "Hello,\n\
             \n\
             welcome! Somebody, we hope you, would like to open an account with this address.\n\
             \n\
             {how}\n\
             \n\
             This works once{until}.\n\
             \n\
             If it was not you, there is nothing to do: without this mail nobody can open an account\n\
             with your address.\n",
            how = step.how(notification, links),
            until = until(notification),
        ),
    }
}

pub(super) fn password_reset(notification: &GetNotificationResponse, links: &Links) -> Letter {
    let step = Step {
        call: "passwords:reset",
        password: Some("newPassword"),
        purpose: "&purpose=passwordReset",
    };
    Letter {
        subject: "Choose a new password",
        body: format!(
            "{hello}\n\
             \n\
             somebody, we hope you, would like to sign in with your address and has forgotten the password.\n\
             \n\
             {how}\n\
             \n\
             This works once{until}. It signs you out everywhere.\n\
             \n\
             If it was not you, there is nothing to do: your password is as it was.\n",
            hello = hello(notification),
            how = step.how(notification, links),
            until = until(notification),
        ),
    }
}

pub(super) fn password_changed(notification: &GetNotificationResponse, links: &Links) -> Letter {
    let facts = match facts(notification).as_str() {
        "" => String::new(),
        facts => format!("{facts}\n"),
    };
    Letter {
        subject: "Your password was changed",
        body: format!(
            "{hello}\n\
             \n\
             your account has another password now, and is signed out on every other device.\n\
             \n\
             {facts}\
             If that was you, all is well.\n\
             \n\
             {if_not}",
            hello = hello(notification),
            if_not = if_not(notification, links),
        ),
    }
}

pub(super) fn registration_repeated(notification: &GetNotificationResponse) -> Letter {
    Letter {
        subject: "You already have an account",
        body: format!(
            "{hello}\n\
             \n\
             somebody, perhaps you, tried to open an account with this address. It has one already,\n\
             so just sign in with it.\n\
             \n\
             If it was not you, there is nothing to do: your account is as it was, and nobody was told\n\
             that you have one.\n",
            hello = hello(notification),
        ),
    }
}

pub(super) fn new_device(notification: &GetNotificationResponse, links: &Links) -> Letter {
    Letter {
        subject: "A new device signed in to your account",
        body: format!(
            "{hello}\n\
             \n\
             your account was used on a device that we have not seen before:\n\
             \n\
             {facts}\n\
             If that was you, all is well.\n\
             \n\
             {if_not}",
            hello = hello(notification),
            facts = facts(notification),
            if_not = if_not(notification, links),
        ),
    }
}

pub(super) fn refresh_reuse(notification: &GetNotificationResponse) -> Letter {
    Letter {
        subject: "We ended a session of your account",
        body: format!(
            "{hello}\n\
             \n\
             a session of your account was used from two places at once, as happens when somebody has\n\
             copied it. To be safe we have ended it:\n\
             \n\
             {facts}\n\
             Please sign in again. If you did not move the session yourself, look at the device it was\n\
             on: something there may read what it should not.\n",
            hello = hello(notification),
            facts = facts(notification),
        ),
    }
}

/// Whoever asks for an address may not be its owner: this mail must not carry their words, either.
pub(super) fn email_change(notification: &GetNotificationResponse, links: &Links) -> Letter {
    let step = Step {
        call: "emails:confirm",
        password: None,
        purpose: "&purpose=emailChange",
    };
    Letter {
        subject: "Confirm your new address",
        body: format!(
            "Hello,\n\
             \n\
             somebody, we hope you, would like to use this address for an account from now on.\n\
             \n\
             {how}\n\
             \n\
             This works once{until}. The account keeps its address until you do so.\n\
             \n\
             If it was not you, there is nothing to do: without this mail nobody can take your address.\n",
            how = step.how(notification, links),
            until = until(notification),
        ),
    }
}

pub(super) fn email_taken(notification: &GetNotificationResponse) -> Letter {
    Letter {
        subject: "Somebody asked for your address",
        body: format!(
            "{hello}\n\
             \n\
             somebody, perhaps you, tried to use this address for another account. It has one already, and an\n\
             address has one account only.\n\
             \n\
             There is nothing to do: your account is as it was, and nobody was told that you have one.\n",
            hello = hello(notification),
        ),
    }
}

/// To the address from before: it cannot sign in any more, nor have the password reset.
pub(super) fn email_changed(notification: &GetNotificationResponse) -> Letter {
    let facts = match facts(notification).as_str() {
        "" => String::new(),
        facts => format!("{facts}\n"),
    };
    Letter {
        subject: "Your account has another address",
        body: format!(
            "{hello}\n\
             \n\
             your account has another address now. You sign in with that one, and mails go there. This is the\n\
             last one that comes here.\n\
             \n\
             {facts}\
             If that was you, all is well.\n\
             \n\
             If it was not, somebody else is in your account. Tell the people who run this service at once:\n\
             from here the account can no longer be won back.\n",
            hello = hello(notification),
        ),
    }
}

pub(super) fn account_deleted(notification: &GetNotificationResponse) -> Letter {
    let facts = match facts(notification).as_str() {
        "" => String::new(),
        facts => format!("{facts}\n"),
    };
    Letter {
        subject: "Your account was deleted",
        body: format!(
            "{hello}\n\
             \n\
             your account was deleted, and is signed out everywhere. What we kept of you is being erased, this\n\
             address with it. This is the last mail that comes here.\n\
             \n\
             {facts}\
             If that was your wish, all is well, and you can register again at any time.\n\
             \n\
             If it was not, tell the people who run this service. The account cannot be won back.\n",
            hello = hello(notification),
        ),
    }
}
