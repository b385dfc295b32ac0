"""
Permissions of every route: a table written by hand.

A cell is the expected status, `public/private` where the two differ. `anonymous` sends no credential; `nonmember` is a
user without a role. `bad` is an expired key, a revoked key, a key of a disabled user, or a key with a wrong checksum:
all get the same. Users send keys with mode MANAGE, so that only their role decides; READ, WRITE and DELETE are keys of
the owner; `elsewhere` is a key of the owner for another channel. A `#` starts the name of another row for the same
route.
"""

KEYS = """
                                                          anonymous nonmember viewer    contrib   owner     admin     READ      WRITE     DELETE    elsewhere bad

Called by pixi, rattler-build, rattler
POST /api/v1/upload/{channel:path}                        401       403/404   403       201       201       403       403       201       201       403/404   401
POST /api/v1/upload/{channel:path} #over-another's        401       403/404   403       403       200       403       403       403       200       403/404   401
DELETE /api/v1/delete/{path:path}                         401       403/404   403       403       200       200       403       403       200       403/404   401
POST /api/v1/yank/{path:path}                             401       403/404   403       200       200       403       403       200       200       403/404   401
POST /api/v1/unyank/{path:path}                           401       403/404   403       200       200       403       403       200       200       403/404   401
POST /api/v1/channels/{channel}/files/yank                401       403/404   403       200       200       403       403       200       200       403/404   401
POST /api/v1/channels/{channel}/files/unyank              401       403/404   403       200       200       403       403       200       200       403/404   401
POST /api/v1/channels/{channel}/files/delete              401       403/404   403       403       200       200       403       403       200       403/404   401
PATCH /api/v1/channels/{channel}/files/{subdir}/{file}/correction 401 403/404 403     403       200       200       403       403       403       403/404   401
DELETE /api/v1/channels/{channel}/files/{subdir}/{file}/correction 401 403/404 403    403       204       204       403       403       403       403/404   401

Called by the pages and by tus clients; an upload is only visible to the user who started it, here the owner
OPTIONS /api/v1/uploads                                   204       204       204       204       204       204       204       204       204       204       204
POST /api/v1/uploads/{channel}                            401       403/404   403       201       201       403       403       201       201       403/404   401
HEAD /api/v1/uploads/{id}                                 401       404       404       404       200       404       403       200       200       403/404   401
PATCH /api/v1/uploads/{id}                                401       404       404       404       204       404       403       204       204       403/404   401
DELETE /api/v1/uploads/{id}                               401       404       404       404       204       404       403       204       204       403/404   401

Called by programs: channel logos
PUT /api/v1/channels/{channel}/logo                       401       403/404   403       403       204       204       403       403       403       403/404   401

Called in workflows; the token in the body, or the token to revoke, decides
POST /api/oidc/mint_token                                 422       422       422       422       422       422       422       422       422       422       422
DELETE /api/oidc/token                                    401       401       401       401       401       401       401       401       401       401       401

Called by GitHub if secret scanning is enabled; in these tests it is not
POST /api/github/secret-scanning                          404       404       404       404       404       404       404       404       404       404       404

Called by solvers
GET /{path:path}                                          200/401   200/403   200       200       200       200       200       200       200       200/403   200/401
GET /{path:path} #outside-the-index                       200/401   200/404   200       200       200       200       200       200       200       200/404   200/401
HEAD /{path:path}                                         200/401   200/403   200       200       200       200       200       200       200       200/403   200/401
HEAD /{path:path} #outside-the-index                      200/401   200/404   200       200       200       200       200       200       200       200/404   200/401
GET /{path:path} #key-in-path                             200/401   200/403   200       200       200       200       200       200       200       200/403   200/401
OPTIONS /{path:path}                                      204       204       204       204       204       204       204       204       204       204       204

Called by command-line tools that log in
GET /.well-known/openid-configuration                     200       200       200       200       200       200       200       200       200       200       200
HEAD /.well-known/openid-configuration                    200       200       200       200       200       200       200       200       200       200       200
GET /api/oauth/jwks                                       200       200       200       200       200       200       200       200       200       200       200
HEAD /api/oauth/jwks                                      200       200       200       200       200       200       200       200       200       200       200
POST /api/oauth/device                                    200       200       200       200       200       200       200       200       200       200       200
POST /api/oauth/token                                     400       400       400       400       400       400       400       400       400       400       400
POST /api/oauth/revoke                                    200       200       200       200       200       200       200       200       200       200       200
GET /api/oauth/userinfo                                   401       401       401       401       401       401       401       401       401       401       401
HEAD /api/oauth/userinfo                                  401       401       401       401       401       401       401       401       401       401       401
POST /api/graphql                                         200       200       200       200       200       200       200       200       200       200       200

Called by orchestrators
GET /health/live                                          200       200       200       200       200       200       200       200       200       200       200
HEAD /health/live                                         200       200       200       200       200       200       200       200       200       200       200
GET /health/ready                                         200       200       200       200       200       200       200       200       200       200       200
HEAD /health/ready                                        200       200       200       200       200       200       200       200       200       200       200

Pages
GET /                                                     200       200       200       200       200       200       200       200       200       200       401
HEAD /                                                    200       200       200       200       200       200       200       200       200       200       401
GET /channels/{channel}                                   200/404   200/404   200       200       200       200       200       200       200       200/404   401
HEAD /channels/{channel}                                  200/404   200/404   200       200       200       200       200       200       200       200/404   401
GET /channels/{channel}/logo/{name}                       200/404   200/404   200       200       200       200       200       200       200       200/404   401
HEAD /channels/{channel}/logo/{name}                      200/404   200/404   200       200       200       200       200       200       200       200/404   401
GET /channels/{channel}/statistics                        200/404   200/404   200       200       200       200       200       200       200       200/404   401
HEAD /channels/{channel}/statistics                       200/404   200/404   200       200       200       200       200       200       200       200/404   401
GET /channels/{channel}/feed.atom                         200/404   200/404   200       200       200       200       200       200       200       200/404   401
HEAD /channels/{channel}/feed.atom                        200/404   200/404   200       200       200       200       200       200       200       200/404   401
GET /channels/{channel}/packages/{package}                200/404   200/404   200       200       200       200       200       200       200       200/404   401
GET /channels/{channel}/packages/{package}/dependents     200/404   200/404   200       200       200       200       200       200       200       200/404   401
HEAD /channels/{channel}/packages/{package}               200/404   200/404   200       200       200       200       200       200       200       200/404   401
HEAD /channels/{channel}/packages/{package}/dependents    200/404   200/404   200       200       200       200       200       200       200       200/404   401
GET /channels/{channel}/packages/{package}/files/{subdir}/{file} 200/404   200/404   200       200       200       200       200       200       200       200/404   401
HEAD /channels/{channel}/packages/{package}/files/{subdir}/{file} 200/404   200/404   200       200       200       200       200       200       200       200/404   401
GET /channels                                             200       200       200       200       200       200       200       200       200       200       401
HEAD /channels                                            200       200       200       200       200       200       200       200       200       200       401
GET /search                                               200       200       200       200       200       200       200       200       200       200       401
HEAD /search                                              200       200       200       200       200       200       200       200       200       200       401
POST /channels/{channel}/packages/{package}/{act}        401       403/404   403       303       303       403       403       303       303       403/404   401
POST /channels/{channel}/packages/{package}/undo-yank    401       403/404   403       303       303       403       403       303       303       403/404   401
POST /channels/{channel}/packages/{package}/{act} #delete 401       403/404   403       403       303       303       403       403       303       403/404   401
POST /channels/{channel}/packages/{package}/{act} #unconfirmed 401       403/404   403       200       200       403       403       200       200       403/404   401
GET /style                                                200       200       200       200       200       200       200       200       200       200       401
HEAD /style                                               200       200       200       200       200       200       200       200       200       200       401
GET /docs                                                 200       200       200       200       200       200       200       200       200       200       401
HEAD /docs                                                200       200       200       200       200       200       200       200       200       200       401
GET /docs/{page:path}                                     200       200       200       200       200       200       200       200       200       200       401
HEAD /docs/{page:path}                                    200       200       200       200       200       200       200       200       200       200       401
GET /robots.txt                                           200       200       200       200       200       200       200       200       200       200       200
HEAD /robots.txt                                          200       200       200       200       200       200       200       200       200       200       200
GET /favicon.ico                                          302       302       302       302       302       302       302       302       302       302       302
HEAD /favicon.ico                                         302       302       302       302       302       302       302       302       302       302       302
GET /apple-touch-icon.png                                 404       404       404       404       404       404       404       404       404       404       404
HEAD /apple-touch-icon.png                                404       404       404       404       404       404       404       404       404       404       404
GET /apple-touch-icon-precomposed.png                     404       404       404       404       404       404       404       404       404       404       404
HEAD /apple-touch-icon-precomposed.png                    404       404       404       404       404       404       404       404       404       404       404
GET /static/{name}                                        200       200       200       200       200       200       200       200       200       200       200
HEAD /static/{name}                                       200       200       200       200       200       200       200       200       200       200       200

Pages for signing in: their forms are only accepted from the page itself
GET /signin                                               200       200       200       200       200       200       200       200       200       200       401
HEAD /signin                                              200       200       200       200       200       200       200       200       200       200       401
POST /signin                                              403       403       403       403       403       403       403       403       403       403       403
POST /signin/second                                       403       403       403       403       403       403       403       403       403       403       403
GET /continue                                             200       200       200       200       200       200       200       200       200       200       401
HEAD /continue                                            200       200       200       200       200       200       200       200       200       200       401
POST /continue                                            403       403       403       403       403       403       403       403       403       403       403
GET /signup                                               200       200       200       200       200       200       200       200       200       200       401
HEAD /signup                                              200       200       200       200       200       200       200       200       200       200       401
POST /signup                                              403       403       403       403       403       403       403       403       403       403       403
GET /signup/sent                                          200       200       200       200       200       200       200       200       200       200       401
HEAD /signup/sent                                         200       200       200       200       200       200       200       200       200       200       401
GET /verify/{secret}                                      404       404       404       404       404       404       404       404       404       404       401
HEAD /verify/{secret}                                     404       404       404       404       404       404       404       404       404       404       401
POST /verify/{secret}                                     401       403       403       403       403       403       403       403       403       403       401
GET /reset                                                200       200       200       200       200       200       200       200       200       200       401
HEAD /reset                                               200       200       200       200       200       200       200       200       200       200       401
POST /reset                                               403       403       403       403       403       403       403       403       403       403       403
GET /reset/sent                                           200       200       200       200       200       200       200       200       200       200       401
HEAD /reset/sent                                          200       200       200       200       200       200       200       200       200       200       401
GET /reset/{secret}                                       404       404       404       404       404       404       404       404       404       404       401
HEAD /reset/{secret}                                      404       404       404       404       404       404       404       404       404       404       401
POST /reset/{secret}                                      403       403       403       403       403       403       403       403       403       403       403
GET /invite/{secret}                                      404       404       404       404       404       404       404       404       404       404       401
HEAD /invite/{secret}                                     404       404       404       404       404       404       404       404       404       404       401
POST /invite/{secret}                                     403       403       403       403       403       403       403       403       403       403       403
GET /signin/{provider}                                    404       404       404       404       404       404       404       404       404       404       401
HEAD /signin/{provider}                                   404       404       404       404       404       404       404       404       404       404       401
GET /signin/{provider}/callback                           404       404       404       404       404       404       404       404       404       404       401
HEAD /signin/{provider}/callback                          404       404       404       404       404       404       404       404       404       404       401
GET /signup/external                                       400       400       400       400       400       400       400       400       400       400       401
HEAD /signup/external                                      400       400       400       400       400       400       400       400       400       400       401
POST /signup/external                                      403       403       403       403       403       403       403       403       403       403       403
POST /signin/second/passkey                               403       403       403       403       403       403       403       403       403       403       403
POST /signin/second/passkey/options                       403       403       403       403       403       403       403       403       403       403       403
POST /signin/passkey                                      403       403       403       403       403       403       403       403       403       403       403
POST /signin/passkey/options                              403       403       403       403       403       403       403       403       403       403       403
GET /first-account/{secret}                               404       404       404       404       404       404       404       404       404       404       401
HEAD /first-account/{secret}                              404       404       404       404       404       404       404       404       404       404       401
POST /first-account/{secret}                              403       403       403       403       403       403       403       403       403       403       403

Pages of signed-in users; keys have no access
POST /account                                             401       403       403       403       403       403       403       403       403       403       401
POST /account/delete                                      401       403       403       403       403       403       403       403       403       403       401
POST /account/emails                                      401       403       403       403       403       403       403       403       403       403       401
POST /account/emails/remove                               401       403       403       403       403       403       403       403       403       403       401
POST /account/emails/primary                              401       403       403       403       403       403       403       403       403       403       401
POST /confirm/passkey                                     401       403       403       403       403       403       403       403       403       403       401
POST /confirm/passkey/options                             401       403       403       403       403       403       403       403       403       403       401
POST /account/security/passkeys                           401       403       403       403       403       403       403       403       403       403       401
POST /account/security/passkeys/options                   401       403       403       403       403       403       403       403       403       403       401
POST /account/security/passkeys/remove                    401       403       403       403       403       403       403       403       403       403       401
POST /signout                                             401       403       403       403       403       403       403       403       403       403       401
GET /confirm                                              401       403       403       403       403       403       403       403       403       403       401
HEAD /confirm                                             401       403       403       403       403       403       403       403       403       403       401
POST /confirm                                             401       403       403       403       403       403       403       403       403       403       401
GET /account                                              401       403       403       403       403       403       403       403       403       403       401
HEAD /account                                             401       403       403       403       403       403       403       403       403       403       401
GET /home                                                 401       403       403       403       403       403       403       403       403       403       401
HEAD /home                                                401       403       403       403       403       403       403       403       403       403       401
GET /account/emails                                       401       403       403       403       403       403       403       403       403       403       401
HEAD /account/emails                                      401       403       403       403       403       403       403       403       403       403       401
POST /account/emails/send                                 401       403       403       403       403       403       403       403       403       403       401
GET /account/security                                     401       403       403       403       403       403       403       403       403       403       401
HEAD /account/security                                    401       403       403       403       403       403       403       403       403       403       401
POST /account/security/password                           401       403       403       403       403       403       403       403       403       403       401
POST /account/security/totp                               401       403       403       403       403       403       403       403       403       403       401
POST /account/security/totp/confirm                       401       403       403       403       403       403       403       403       403       403       401
POST /account/security/totp/remove                        401       403       403       403       403       403       403       403       403       403       401
POST /account/security/recovery                           401       403       403       403       403       403       403       403       403       403       401
POST /account/security/cancel-reset                       401       403       403       403       403       403       403       403       403       403       401
GET /account/keys                                         401       403       403       403       403       403       403       403       403       403       401
HEAD /account/keys                                        401       403       403       403       403       403       403       403       403       403       401
POST /account/keys                                        401       403       403       403       403       403       403       403       403       403       401
POST /account/keys/revoke                                 401       403       403       403       403       403       403       403       403       403       401
POST /account/keys/delete                                 401       403       403       403       403       403       403       403       403       403       401
GET /account/sessions                                     401       403       403       403       403       403       403       403       403       403       401
HEAD /account/sessions                                    401       403       403       403       403       403       403       403       403       403       401
POST /account/sessions/end                                401       403       403       403       403       403       403       403       403       403       401
POST /account/sessions/end-others                         401       403       403       403       403       403       403       403       403       403       401
GET /account/tools                                        401       403       403       403       403       403       403       403       403       403       401
HEAD /account/tools                                       401       403       403       403       403       403       403       403       403       403       401
POST /account/tools/end                                   401       403       403       403       403       403       403       403       403       403       401
GET /device                                               401       403       403       403       403       403       403       403       403       403       401
HEAD /device                                              401       403       403       403       403       403       403       403       403       403       401
POST /device                                              401       403       403       403       403       403       403       403       403       403       401
POST /device/decision                                     401       403       403       403       403       403       403       403       403       403       401
GET /authorize                                            401       403       403       403       403       403       403       403       403       403       401
HEAD /authorize                                           401       403       403       403       403       403       403       403       403       403       401
POST /authorize                                           401       403       403       403       403       403       403       403       403       403       401
GET /account/identities                                   401       403       403       403       403       403       403       403       403       403       401
HEAD /account/identities                                  401       403       403       403       403       403       403       403       403       403       401
POST /account/identities/link                             401       403       403       403       403       403       403       403       403       403       401
POST /account/identities/unlink                           401       403       403       403       403       403       403       403       403       403       401

Invitations, transfers and groups of the user
GET /invitations/{secret}                                 404       404       404       404       404       404       404       404       404       404       401
HEAD /invitations/{secret}                                404       404       404       404       404       404       404       404       404       404       401
POST /invitations/{secret}/accept                         401       403       403       403       403       403       403       403       403       403       401
POST /invitations/{secret}/decline                        403       404       404       404       404       404       404       404       404       404       401
POST /account/invitations/accept                          401       403       403       403       403       403       403       403       403       403       401
POST /account/invitations/decline                         401       403       403       403       403       403       403       403       403       403       401
GET /account/offers                                       401       403       403       403       403       403       403       403       403       403       401
HEAD /account/offers                                      401       403       403       403       403       403       403       403       403       403       401
GET /account/groups                                       401       403       403       403       403       403       403       403       403       403       401
HEAD /account/groups                                      401       403       403       403       403       403       403       403       403       403       401
GET /account/groups/{group}                               401       403       403       403       403       403       403       403       403       403       401
HEAD /account/groups/{group}                              401       403       403       403       403       403       403       403       403       403       401
POST /account/offers/accept                               401       403       403       403       403       403       403       403       403       403       401
POST /account/offers/decline                              401       403       403       403       403       403       403       403       403       403       401
POST /account/groups                                      401       403       403       403       403       403       403       403       403       403       401
POST /account/groups/{group}                              401       403       403       403       403       403       403       403       403       403       401
POST /account/groups/{group}/remove                       401       403       403       403       403       403       403       403       403       403       401
POST /account/groups/{group}/leave                        401       403       403       403       403       403       403       403       403       403       401
POST /account/groups/{group}/delete                       401       403       403       403       403       403       403       403       403       403       401

Channel settings; keys have no access
GET /channels/new                                         401       403       403       403       403       403       403       403       403       403       401
GET /channels/{channel}/packages/{package}/files/{subdir}/{file}/correction 401 403 403 403 403 403 403 403 403 403 401
HEAD /channels/{channel}/packages/{package}/files/{subdir}/{file}/correction 401 403 403 403 403 403 403 403 403 403 401
POST /channels/{channel}/packages/{package}/files/{subdir}/{file}/correction 401 403 403 403 403 403 403 403 403 403 401
POST /channels/{channel}/packages/{package}/files/{subdir}/{file}/correction/remove 401 403 403 403 403 403 403 403 403 403 401
HEAD /channels/new                                        401       403       403       403       403       403       403       403       403       403       401
GET /channels/new/free                                    401       403       403       403       403       403       403       403       403       403       401
HEAD /channels/new/free                                   401       403       403       403       403       403       403       403       403       403       401
GET /channels/{channel}/settings                          401       403       403       403       403       403       403       403       403       403       401
HEAD /channels/{channel}/settings                         401       403       403       403       403       403       403       403       403       403       401
GET /channels/{channel}/settings/members                  401       403       403       403       403       403       403       403       403       403       401
HEAD /channels/{channel}/settings/members                 401       403       403       403       403       403       403       403       403       403       401
GET /channels/{channel}/settings/publishers               401       403       403       403       403       403       403       403       403       403       401
HEAD /channels/{channel}/settings/publishers              401       403       403       403       403       403       403       403       403       403       401
GET /channels/{channel}/settings/keys                     401       403       403       403       403       403       403       403       403       403       401
HEAD /channels/{channel}/settings/keys                    401       403       403       403       403       403       403       403       403       403       401
GET /channels/{channel}/settings/upload                   401       403       403       403       403       403       403       403       403       403       401
HEAD /channels/{channel}/settings/upload                  401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/upload                  401       403       403       403       403       403       403       403       403       403       401
GET /channels/{channel}/settings/log                      401       403       403       403       403       403       403       403       403       403       401
HEAD /channels/{channel}/settings/log                     401       403       403       403       403       403       403       403       403       403       401
GET /channels/{channel}/settings/danger                   401       403       403       403       403       403       403       403       403       403       401
HEAD /channels/{channel}/settings/danger                  401       403       403       403       403       403       403       403       403       403       401
GET /account/user-names                                   401       403       403       403       403       403       403       403       403       403       401
HEAD /account/user-names                                  401       403       403       403       403       403       403       403       403       403       401
POST /channels/new                                        401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings                         401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/relations               401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/logo                    401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/notices                 401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/notices/remove          401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/keys                    401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/keys/revoke             401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/members                 401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/members/role            401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/members/remove          401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/invitations/withdraw    401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/invitations/resend      401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/publishers              401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/publishers/remove       401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/publishers/test         401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/publishers/rules        401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/danger/offer            401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/danger/cancel           401       403       403       403       403       403       403       403       403       403       401
POST /channels/{channel}/settings/danger/delete           401       403       403       403       403       403       403       403       403       403       401

Pages of site admins: 404 for other users and for every key
GET /admin                                                404       404       404       404       404       404       404       404       404       404       401
HEAD /admin                                               404       404       404       404       404       404       404       404       404       404       401
GET /admin/users/invite                                   404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/users/invite                                  404       404       404       404       404       404       404       404       404       404       401
GET /admin/users/{user}/{act}                             404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/users/{user}/{act}                            404       404       404       404       404       404       404       404       404       404       401
GET /admin/channels/{channel}/delete                      404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/channels/{channel}/delete                     404       404       404       404       404       404       404       404       404       404       401
GET /admin/issuers/{issuer}/{act}                         404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/issuers/{issuer}/{act}                        404       404       404       404       404       404       404       404       404       404       401
POST /admin/users/invite                                  404       404       404       404       404       404       404       404       404       404       401
POST /admin/users/{user}/quota                            404       404       404       404       404       404       404       404       404       404       401
POST /admin/channels/{channel}/delete                     404       404       404       404       404       404       404       404       404       404       401
GET /admin/users                                          404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/users                                         404       404       404       404       404       404       404       404       404       404       401
GET /admin/users/{user}                                   404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/users/{user}                                  404       404       404       404       404       404       404       404       404       404       401
GET /admin/channels                                       404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/channels                                      404       404       404       404       404       404       404       404       404       404       401
GET /admin/channels/{channel}                             404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/channels/{channel}                            404       404       404       404       404       404       404       404       404       404       401
GET /admin/storage                                        404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/storage                                       404       404       404       404       404       404       404       404       404       404       401
GET /admin/jobs                                           404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/jobs                                          404       404       404       404       404       404       404       404       404       404       401
GET /admin/issuers                                        404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/issuers                                       404       404       404       404       404       404       404       404       404       404       401
GET /admin/issuers/{issuer}                               404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/issuers/{issuer}                              404       404       404       404       404       404       404       404       404       404       401
GET /admin/log                                            404       404       404       404       404       404       404       404       404       404       401
HEAD /admin/log                                           404       404       404       404       404       404       404       404       404       404       401
POST /admin/users/{user}/{act}                            404       404       404       404       404       404       404       404       404       404       401
POST /admin/channels/{channel}/quota                      404       404       404       404       404       404       404       404       404       404       401
POST /admin/jobs/retry                                    404       404       404       404       404       404       404       404       404       404       401
POST /admin/issuers                                       404       404       404       404       404       404       404       404       404       404       401
POST /admin/issuers/{issuer}/{act}                        404       404       404       404       404       404       404       404       404       404       401

The API: contents of channels
GET /api/v1/openapi.json                                  200       200       200       200       200       200       200       200       200       200       200
GET /api/v1/channels                                      200       200       200       200       200       200       200       200       200       200       401
GET /api/v1/channels/{channel}                            200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/statistics                 200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/packages                   200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/packages/{package}         200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/packages/{package}/files   200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/packages/{package}/downloads  200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/packages/{package}/dependents 200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/files/{subdir}/{file}      200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/packages/{package}/provenance 200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/files/{subdir}/{file}/provenance 200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/files/{subdir}/{file}/paths 200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/channels/{channel}/files/{subdir}/{file}/difference 200/401   200/404   200       200       200       200       200       200       200       200/404   401
GET /api/v1/search                                        200       200       200       200       200       200       200       200       200       200       401

The API: channels themselves
POST /api/v1/channels                                     401       201       201       201       201       201       403       403       403       403       401
PATCH /api/v1/channels/{channel}                          401       403/404   403       403       200       200       403       403       403       403/404   401
PUT /api/v1/channels/{channel}/relations                  401       403/404   403       403       200       200       403       403       403       403/404   401
PATCH /api/v1/channels/{channel} #restrict                401       403/404   403       403       403       403       403       403       403       403/404   401
DELETE /api/v1/channels/{channel}                         401       403/404   403       403       403       403       403       403       403       403/404   401
GET /api/v1/channel-names/{channel}                       401       200       200       200       200       200       403       403       403       403       401

The API: members of channels
GET /api/v1/channels/{channel}/keys                       401       403/404   200       200       200       200       200       200       200       403/404   401
GET /api/v1/channels/{channel}/members                    401       403/404   200       200       200       200       200       200       200       403/404   401
PUT /api/v1/channels/{channel}/members/{user}             401       403/404   403       403       200       200       403       403       403       403/404   401
DELETE /api/v1/channels/{channel}/members/{user}          401       403/404   403       403       204       204       403       403       403       403/404   401
PUT /api/v1/channels/{channel}/groups/{group}             401       403/404   403       403       200       200       403       403       403       403/404   401
DELETE /api/v1/channels/{channel}/groups/{group}          401       403/404   403       403       204       204       403       403       403       403/404   401
POST /api/v1/channels/{channel}/leave                     401       403/404   204       204       409       403       409       409       409       409/404   401

The API: invitations and transfers; notices and audit log of a channel
GET /api/v1/channels/{channel}/invitations                401       403/404   403       403       200       200       403       403       403       403/404   401
POST /api/v1/channels/{channel}/invitations               401       403/404   403       403       201       201       403       403       403       403/404   401
POST /api/v1/channels/{channel}/invitations/{invitation}/resend 401       403/404   403       403       200       200       403       403       403       403/404   401
DELETE /api/v1/channels/{channel}/invitations/{invitation} 401       403/404   403       403       204       204       403       403       403       403/404   401
POST /api/v1/invitations/response                         401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/invitations                                   401       200       200       200       200       200       200       200       200       200       401
POST /api/v1/invitations/{invitation}/response            401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/transfers                                     401       200       200       200       200       200       200       200       200       200       401
GET /api/v1/channels/{channel}/transfer                   401       403/404   403       403       200       200       403       403       403       403/404   401
POST /api/v1/channels/{channel}/transfer                  401       403/404   403       403       403       403       403       403       403       403/404   401
DELETE /api/v1/channels/{channel}/transfer                401       403/404   403       403       403       403       403       403       403       403/404   401
POST /api/v1/channels/{channel}/transfer/response         401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/channels/{channel}/notices                    200/401   200/404   200       200       200       200       200       200       200       200/404   401
POST /api/v1/channels/{channel}/notices                   401       403/404   403       403       201       201       403       403       403       403/404   401
DELETE /api/v1/channels/{channel}/notices/{notice}        401       403/404   403       403       204       204       403       403       403       403/404   401
GET /api/v1/channels/{channel}/audit                      401       403/404   403       403       200       200       403       403       403       403/404   401
GET /api/v1/channels/{channel}/upload-log                 401       403/404   403       403       200       200       403       403       403       403/404   401

The API: groups; the owner manages this one, the contributor is in it
GET /api/v1/groups                                        401       200       200       200       200       200       200       200       200       200       401
POST /api/v1/groups                                       401       201       201       201       201       201       403       403       403       403       401
GET /api/v1/groups/{group}                                401       403       403       200       200       200       200       200       200       200       401
PATCH /api/v1/groups/{group}                              401       403       403       403       200       200       403       403       403       403       401
DELETE /api/v1/groups/{group}                             401       403       403       403       204       204       403       403       403       403       401
PUT /api/v1/groups/{group}/members/{user}                 401       403       403       403       200       200       403       403       403       403       401
DELETE /api/v1/groups/{group}/members/{user}              401       403       403       403       204       204       403       403       403       403       401
POST /api/v1/groups/{group}/leave                         401       403       403       204       409       404       403       403       403       403       401

The API: the caller's account
GET /api/v1/me                                            401       200       200       200       200       200       200       200       200       200       401
PATCH /api/v1/me                                          401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/me                                         401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/me/addresses                                  401       200       200       200       200       200       200       200       200       200       401
POST /api/v1/me/addresses                                 401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/me/addresses/{address}                     401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/me/addresses/{address}/primary               401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/me/addresses/{address}/verification          401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/me/identities                                 401       200       200       200       200       200       200       200       200       200       401
DELETE /api/v1/me/identities/{identity}                   401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/me/second-factors                             401       200       200       200       200       200       200       200       200       200       401
PUT /api/v1/me/password                                   401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/me/totp                                      401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/me/totp/confirm                              401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/me/totp                                    401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/me/recovery-codes                            401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/me/second-factor-reset                     401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/me/passkeys/options                          401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/me/passkeys                                  401       403       403       403       403       403       403       403       403       403       401
PATCH /api/v1/me/passkeys/{passkey}                       401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/me/passkeys/{passkey}                      401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/me/sessions                                401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/me/passkeys                                   401       200       200       200       200       200       200       200       200       200       401
GET /api/v1/keys                                          401       200       200       200       200       200       200       200       200       200       401
POST /api/v1/keys                                         401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/keys/{key}/revoke                            401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/keys/{key}                                 401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/me/sessions                                   401       200       200       200       200       200       200       200       200       200       401
DELETE /api/v1/me/sessions/{session}                      401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/me/tools                                      401       200       200       200       200       200       200       200       200       200       401
DELETE /api/v1/me/tools/{tool}                            401       403       403       403       403       403       403       403       403       403       401

The API: user names by prefix
GET /api/v1/user-names                                    401       200       200       200       200       200       200       200       200       200       401

The API: publishers
GET /api/v1/channels/{channel}/publishers                 401       403/404   403       403       200       200       403       403       403       403/404   401
POST /api/v1/channels/{channel}/publishers                401       403/404   403       403       201       201       403       403       403       403/404   401
POST /api/v1/channels/{channel}/publishers/test           401       403/404   403       403       200       200       403       403       403       403/404   401
PATCH /api/v1/channels/{channel}/publishers/{publisher}   401       403/404   403       403       200       200       403       403       403       403/404   401
DELETE /api/v1/channels/{channel}/publishers/{publisher}  401       403/404   403       403       204       204       403       403       403       403/404   401

The API: the site; keys have no access
GET /api/v1/users                                         401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/users/{user}                                  401       403       403       403       403       403       403       403       403       403       401
PATCH /api/v1/users/{user}                                401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/users                                        401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/users/{user}/invitation                      401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/users/{user}                               401       403       403       403       403       403       403       403       403       403       401
PATCH /api/v1/channels/{channel}/quota                    401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/users/{user}/quota                            401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/users/{user}/second-factor-reset             401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/users/{user}/second-factor-reset           401       403       403       403       403       403       403       403       403       403       401
PATCH /api/v1/users/{user}/quota                          401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/issuers                                       401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/issuers                                      401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/issuers/{issuer}                              401       403       403       403       403       403       403       403       403       403       401
PATCH /api/v1/issuers/{issuer}                            401       403       403       403       403       403       403       403       403       403       401
DELETE /api/v1/issuers/{issuer}                           401       403       403       403       403       403       403       403       403       403       401
PUT /api/v1/issuers/{issuer}/keys                         401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/issuers/{issuer}/keys/fetch                  401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/jobs                                          401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/jobs/retry                                   401       403       403       403       403       403       403       403       403       403       401
POST /api/v1/jobs/{job}/retry                             401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/storage                                       401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/storage/channels                              401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/upload-log                                    401       403       403       403       403       403       403       403       403       403       401
GET /api/v1/audit                                         401       403       403       403       403       403       403       403       403       403       401
"""  # fmt: skip

# The same users, signed in with a browser; `stale` is the owner with a sign-in more than half an hour old.
SESSIONS = """
                                                          nonmember viewer    contrib   owner     admin     stale

Channels
GET /api/v1/channels/{channel}                            200/404   200       200       200       200       200
POST /api/v1/channels                                     201       201       201       201       201       201
PATCH /api/v1/channels/{channel}                          403/404   403       403       200       200       200
PUT /api/v1/channels/{channel}/relations                  403/404   403       403       200       200       200
PATCH /api/v1/channels/{channel} #restrict                403/404   403       403       200       200       403
DELETE /api/v1/channels/{channel}                         403/404   403       403       204       204       403

Members and groups
GET /api/v1/channels/{channel}/keys                       403/404   200       200       200       200       200
GET /api/v1/channels/{channel}/members                    403/404   200       200       200       200       200
PUT /api/v1/channels/{channel}/members/{user}             403/404   403       403       200       200       403
DELETE /api/v1/channels/{channel}/members/{user}          403/404   403       403       204       204       403
PUT /api/v1/channels/{channel}/groups/{group}             403/404   403       403       200       200       403
DELETE /api/v1/channels/{channel}/groups/{group}          403/404   403       403       204       204       403
POST /api/v1/groups                                       201       201       201       201       201       403
DELETE /api/v1/groups/{group}                             403       403       403       204       204       403

Publishers
GET /api/v1/channels/{channel}/publishers                 403/404   403       403       200       200       200
POST /api/v1/channels/{channel}/publishers                403/404   403       403       201       201       403
POST /api/v1/channels/{channel}/publishers/test           403/404   403       403       200       200       200
PATCH /api/v1/channels/{channel}/publishers/{publisher}   403/404   403       403       200       200       403
DELETE /api/v1/channels/{channel}/publishers/{publisher}  403/404   403       403       204       204       403

Invitations and transfers; a channel is offered to the contributor
GET /api/v1/channels/{channel}/invitations                403/404   403       403       200       200       200
POST /api/v1/channels/{channel}/invitations               403/404   403       403       201       201       403
DELETE /api/v1/channels/{channel}/invitations/{invitation} 403/404   403       403       204       204       403
POST /api/v1/invitations/response                         200       200       200       200       200       200
POST /api/v1/invitations/{invitation}/response            404       404       200       404       404       404
GET /api/v1/channels/{channel}/transfer                   403/404   403       403       200       200       200
POST /api/v1/channels/{channel}/transfer                  403/404   403       403       201       201       403
DELETE /api/v1/channels/{channel}/transfer                403/404   403       403       204       204       403
POST /api/v1/channels/{channel}/transfer/response         404       404       200       404       404       403

The user's account
GET /api/v1/me                                            200       200       200       200       200       200
PATCH /api/v1/me                                          200       200       200       200       200       200
DELETE /api/v1/me                                         403       403       403       403       403       403
GET /api/v1/me/addresses                                  200       200       200       200       200       200
POST /api/v1/me/addresses                                 201       201       201       201       201       403
DELETE /api/v1/me/addresses/{address}                     204       204       204       204       204       403
DELETE /api/v1/me/addresses/{address} #another's          404       404       404       404       404       404
DELETE /api/v1/me/identities/{identity}                   404       404       404       404       404       403
GET /api/v1/me/second-factors                             200       200       200       200       200       200
PUT /api/v1/me/password                                   422       422       422       422       422       403
DELETE /api/v1/me/totp                                    404       404       404       404       404       403
POST /api/v1/me/totp                                      200       200       200       200       200       403
POST /api/v1/me/totp/confirm                              401       401       401       401       401       403
POST /api/v1/me/recovery-codes                            403       403       403       403       403       403
DELETE /api/v1/me/second-factor-reset                     404       404       404       404       404       404
GET /api/v1/me/passkeys                                   200       200       200       200       200       200
POST /api/v1/me/passkeys/options                          200       200       200       200       200       403
POST /api/v1/me/passkeys                                  401       401       401       401       401       403
PATCH /api/v1/me/passkeys/{passkey}                       200       200       200       200       200       200
DELETE /api/v1/me/passkeys/{passkey}                      404       404       404       404       404       403
POST /api/v1/keys                                         201       201       201       201       201       403
POST /api/v1/keys/{key}/revoke                            200       200       200       200       200       200
DELETE /api/v1/keys/{key}                                 204       204       204       204       204       204
DELETE /api/v1/keys/{key} #another's                      404       404       404       404       404       404
DELETE /api/v1/me/sessions/{session}                      204       204       204       204       204       204
DELETE /api/v1/me/sessions/{session} #another's           404       404       404       404       404       404
DELETE /api/v1/me/tools/{tool}                            404       404       404       404       404       404

Pages of channel settings; submitted forms redirect
GET /channels/{channel}/settings                          403/404   403       403       200       200       200
GET /channels/{channel}/settings/members                  403/404   403       403       200       200       200
GET /channels/{channel}/settings/publishers               403/404   403       403       200       200       200
GET /channels/{channel}/settings/log                      403/404   403       403       200       200       200
GET /channels/{channel}/settings/danger                   403/404   403       403       200       200       200
GET /channels/{channel}/settings/keys                     403/404   200       200       200       200       200
GET /channels/{channel}/settings/upload                   403/404   403       200       200       403       200
POST /channels/{channel}/settings/upload                  403/404   403       303       303       403       303
GET /channels/new                                         200       200       200       200       200       200
GET /account/user-names                                   200       200       200       200       200       200
GET /channels/new/free                                    200       200       200       200       200       200
POST /channels/{channel}/settings                         403/404   403       403       303       303       303
POST /channels/{channel}/settings #restrict               403/404   403       403       303       303       403
POST /channels/{channel}/settings/relations               403/404   403       403       303       303       303
POST /channels/{channel}/settings/logo                    403/404   403       403       303       303       303
POST /channels/{channel}/settings/notices                 403/404   403       403       303       303       303
POST /channels/{channel}/settings/keys                    403/404   200       200       200       200       403
POST /channels/{channel}/settings/keys/revoke             403/404   303       303       303       303       303
POST /channels/{channel}/settings/members                 403/404   403       403       303       303       403
POST /channels/{channel}/settings/members/remove          403/404   403       403       303       303       403
POST /channels/{channel}/settings/publishers              403/404   403       403       303       303       403
POST /channels/{channel}/settings/publishers/test         403/404   403       403       200       200       200
POST /channels/{channel}/settings/publishers/rules        403/404   403       403       303       303       303
POST /channels/{channel}/settings/publishers/rules #restrict 403/404 403      403       303       303       403
POST /channels/{channel}/settings/danger/offer            403/404   403       403       303       303       403
POST /channels/{channel}/settings/danger/delete           403/404   403       403       303       303       403
GET /channels/{channel}/packages/{package}/files/{subdir}/{file}/correction 403/404 403 403 200 200 200
POST /channels/{channel}/packages/{package}/files/{subdir}/{file}/correction 403/404 403 403 303 303 303
POST /channels/{channel}/packages/{package}/files/{subdir}/{file}/correction/remove 403/404 403 403 303 303 303

The site
GET /api/v1/users                                         403       403       403       403       200       403
GET /api/v1/users/{user}                                  403       403       403       403       200       403
PATCH /api/v1/users/{user}                                403       403       403       403       200       403
POST /api/v1/users                                        403       403       403       403       201       403
POST /api/v1/users/{user}/invitation                      403       403       403       403       204       403
DELETE /api/v1/users/{user}                               403       403       403       403       204       403
PATCH /api/v1/channels/{channel}/quota                    403       403       403       403       200       403
GET /api/v1/users/{user}/quota                            403       403       403       403       200       403
POST /api/v1/users/{user}/second-factor-reset             403       403       403       403       200       403
DELETE /api/v1/users/{user}/second-factor-reset           403       403       403       403       204       403
PATCH /api/v1/users/{user}/quota                          403       403       403       403       200       403
GET /api/v1/issuers                                       403       403       403       403       200       403
POST /api/v1/issuers                                      403       403       403       403       201       403
GET /api/v1/issuers/{issuer}                              403       403       403       403       200       403
PATCH /api/v1/issuers/{issuer}                            403       403       403       403       200       403
DELETE /api/v1/issuers/{issuer}                           403       403       403       403       204       403
PUT /api/v1/issuers/{issuer}/keys                         403       403       403       403       200       403
POST /api/v1/issuers/{issuer}/keys/fetch                  403       403       403       403       404       403
GET /api/v1/jobs                                          403       403       403       403       200       403
POST /api/v1/jobs/retry                                   403       403       403       403       200       403
POST /api/v1/jobs/{job}/retry                             403       403       403       403       404       403
GET /api/v1/storage                                       403       403       403       403       200       403
GET /api/v1/storage/channels                              403       403       403       403       200       403
GET /api/v1/upload-log                                    403       403       403       403       200       403
GET /api/v1/audit                                         403       403       403       403       200       403
GET /api/v1/channels/{channel}/audit                      403/404   403       403       200       200       200
GET /api/v1/channels/{channel}/upload-log                 403/404   403       403       200       200       200

Pages of site admins; submitted forms redirect
GET /admin                                                404       404       404       404       200       404
GET /admin/users/invite                                   404       404       404       404       200       404
GET /admin/users/{user}/{act}                             404       404       404       404       200       404
GET /admin/channels/{channel}/delete                      404       404       404       404       200       404
GET /admin/issuers/{issuer}/{act}                         404       404       404       404       200       404
POST /admin/users/invite                                  404       404       404       404       303       404
POST /admin/users/{user}/quota                            404       404       404       404       303       404
POST /admin/channels/{channel}/delete                     404       404       404       404       303       404
GET /admin/users                                          404       404       404       404       200       404
GET /admin/users/{user}                                   404       404       404       404       200       404
GET /admin/channels                                       404       404       404       404       200       404
GET /admin/channels/{channel}                             404       404       404       404       200       404
GET /admin/storage                                        404       404       404       404       200       404
GET /admin/jobs                                           404       404       404       404       200       404
GET /admin/issuers                                        404       404       404       404       200       404
GET /admin/issuers/{issuer}                               404       404       404       404       200       404
GET /admin/log                                            404       404       404       404       200       404
POST /admin/users/{user}/{act}                            404       404       404       404       303       404
POST /admin/channels/{channel}/quota                      404       404       404       404       303       404
POST /admin/jobs/retry                                    404       404       404       404       303       404
POST /admin/issuers                                       404       404       404       404       303       404
POST /admin/issuers/{issuer}/{act}                        404       404       404       404       303       404
"""  # fmt: skip

Cell = tuple[int, int]  # the statuses if the channel is public, and if it is private


def rows(table: str) -> dict[str, dict[str, Cell]]:
    """Parse a table: row -> column -> cell."""
    head, *lines = [line.split() for line in table.splitlines() if line]
    table_rows: dict[str, dict[str, Cell]] = {}
    for fields in lines:
        if not fields[0].isupper() or len(fields[0]) == 1 or not fields[1].startswith("/"):
            continue  # a heading
        variant = fields[2:3] if fields[2].startswith("#") else []
        cells = fields[2 + len(variant) :]
        name = " ".join([*fields[:2], *variant])
        assert name not in table_rows, f"{name} has two rows"
        table_rows[name] = {column: _cell(cell) for column, cell in zip(head, cells, strict=True)}
    return table_rows


def route_of(row: str) -> str:
    """Return the method and path of a row."""
    return row.partition(" #")[0]


def format_cells(cells: dict[str, Cell]) -> str:
    """Format cells like the table, with column names, for failure messages."""
    return "\n".join(f"{column:12}{public}/{private}" for column, (public, private) in cells.items())


def _cell(text: str) -> Cell:
    public, _, private = text.partition("/")
    return int(public), int(private or public)
