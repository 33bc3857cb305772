// Package signal tells other systems what happened here: security event tokens over the Shared Signals Framework (SSF 1.0,
// RFC 8417, RFC 8935, RFC 8936) and signed webhooks (Standard Webhooks).
//
//	event, committed with a row of work → expanded into one row for each stream and webhook that hears it
//	→ sent in order for each person → acknowledged, tried again, or given up and shown
//
// What it sends never holds a secret, and a person's name only in the format the receiver was registered for.
package signal
