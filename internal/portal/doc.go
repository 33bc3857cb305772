// Package portal is what people see: the pages on which somebody who forgot a password, is locked out, or wants a new
// one proves who they are and gets back in.
//
//	/reset /unlock /change        who are you                              the same for everybody
//	/choose                       how do you want to prove it              the same for everybody before the first proof
//	/code /app-code /recovery-code   prove it
//	/choose                       the next way, candid now: own ways, what does not count yet, what is missing
//	/new-password /old-password /unlock-now   the last word
//	/progress                     being written, done, unknown, unresolved, or why it ended
//	/not-me                       the owner says it was not them: shown by GET, done by POST
//
// Before the first valid proof no page shows anything that depends on the account. Every page works without script.
// The view models hold messages and values; handlers fill them in and never write HTML or sentences.
package portal
