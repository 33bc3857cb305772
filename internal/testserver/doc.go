// Package testserver starts the real servers that tests run against: PostgreSQL, slapd, Samba, an OpenID provider, an SMTP
// sink and a webhook sink, each on a free loopback port with its data in a temporary folder, and stops them when the test ends.
//
// A server that is not installed skips the test and says which package brings it; with REGAIN_REQUIRE_SERVERS=1 (set by
// make test) a missing server fails the test instead, so that CI cannot go blind.
package testserver
