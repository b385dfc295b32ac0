"""Every page, and what its forms do."""

from starlette.routing import Route

from seaway.web import assets, outside, pages, resetting, signing_in, signing_up, tools
from seaway.web.account import connections, emails, keys, profile, security, sessions

OF_PAGES = [
    Route("/", pages.front, methods=["GET"]),
    Route("/channels/{channel}", pages.channel, methods=["GET"]),
    Route("/static/{name}", assets.asset, methods=["GET"]),
    # Signing in, up and out
    Route("/signin", signing_in.show, methods=["GET"]),
    Route("/signin", signing_in.sign_in, methods=["POST"]),
    Route("/signin/second", signing_in.second_factor, methods=["POST"]),
    Route("/signin/{provider}", outside.begin, methods=["GET"]),
    Route("/signin/{provider}/callback", outside.come_back, methods=["GET"]),
    Route("/signup/outside", outside.show_name, methods=["GET"]),
    Route("/signup/outside", outside.choose_name, methods=["POST"]),
    Route("/signout", signing_in.sign_out, methods=["POST"]),
    Route("/confirm", signing_in.show_confirm, methods=["GET"]),
    Route("/confirm", signing_in.confirm, methods=["POST"]),
    Route("/signup", signing_up.show, methods=["GET"]),
    Route("/signup", signing_up.sign_up, methods=["POST"]),
    Route("/signup/sent", signing_up.sent, methods=["GET"]),
    Route("/verify/{secret}", signing_up.show_verify, methods=["GET"]),
    Route("/verify/{secret}", signing_up.verify, methods=["POST"]),
    Route("/reset", resetting.show, methods=["GET"]),
    Route("/reset", resetting.ask, methods=["POST"]),
    Route("/reset/sent", resetting.sent, methods=["GET"]),
    Route("/reset/{secret}", resetting.show_new, methods=["GET"]),
    Route("/reset/{secret}", resetting.reset, methods=["POST"]),
    # Command-line tools
    Route("/device", tools.show_device, methods=["GET"]),
    Route("/device", tools.find_device, methods=["POST"]),
    Route("/device/answer", tools.answer_device, methods=["POST"]),
    Route("/authorize", tools.show_authorize, methods=["GET"]),
    Route("/authorize", tools.authorize, methods=["POST"]),
    # One's own account
    Route("/account", profile.show, methods=["GET"]),
    Route("/account/emails", emails.show, methods=["GET"]),
    Route("/account/emails/send", emails.write_again, methods=["POST"]),
    Route("/account/security", security.show, methods=["GET"]),
    Route("/account/security/password", security.set_password, methods=["POST"]),
    Route("/account/security/totp", security.begin_totp, methods=["POST"]),
    Route("/account/security/totp/confirm", security.confirm_totp, methods=["POST"]),
    Route("/account/security/totp/remove", security.remove_totp, methods=["POST"]),
    Route("/account/security/recovery", security.renew_recovery, methods=["POST"]),
    Route("/account/security/keep", security.keep_factors, methods=["POST"]),
    Route("/account/keys", keys.show, methods=["GET"]),
    Route("/account/keys", keys.add, methods=["POST"]),
    Route("/account/keys/revoke", keys.revoke, methods=["POST"]),
    Route("/account/keys/delete", keys.delete, methods=["POST"]),
    Route("/account/sessions", sessions.show, methods=["GET"]),
    Route("/account/sessions/end", sessions.end, methods=["POST"]),
    Route("/account/sessions/end-others", sessions.end_others, methods=["POST"]),
    Route("/account/identities", outside.show_identities, methods=["GET"]),
    Route("/account/identities/link", outside.link, methods=["POST"]),
    Route("/account/identities/unlink", outside.unlink, methods=["POST"]),
    Route("/account/tools", connections.show_tools, methods=["GET"]),
    Route("/account/tools/end", connections.end_tool, methods=["POST"]),
]
