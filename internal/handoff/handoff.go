// Package handoff is an OpenID provider of one thing: an app sends a person here to reset, change or unlock a password or
// to register, and gets a signed statement of what happened. It is no sign-in: nobody has a session anywhere after it.
//
//	GET  /.well-known/openid-configuration                                             OIDC Discovery §4
//	POST /oauth2/par          the app deposits a request, its client authenticated      RFC 9126
//	GET  /oauth2/authorize    client and redirect URI are checked first, then the rest   RFC 6749 §4.1.1, RFC 7636, RFC 9700
//	     → a row, a cookie that only this browser gets, and on to the portal
//	…                         the person works on the pages of package portal
//	POST /oauth2/return       what happened → a code of 60 seconds                       RFC 6749 §4.1.2, RFC 9207
//	POST /oauth2/cancel       nothing happened → access_denied
//	POST /oauth2/token        the code, once → ID token                                  OIDC Core §3.1.3
//	GET  /oauth2/userinfo     the subject, nothing else                                  OIDC Core §5.3
//	GET  /oauth2/jwks         what ID tokens are signed with                             RFC 7517
//
// No handle of a handoff stands in any address: the cookie is the only one. Where it differs from the standards:
// docs/divergences.md.
package handoff
