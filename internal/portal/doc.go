// Package portal is what people see: the pages on which somebody who forgot a password, is locked out, or wants a new
// one proves who they are and gets back in, and those on which somebody who is signed in manages how.
//
//	/reset /unlock /change        who are you                              the same for everybody
//	/choose                       how do you want to prove it              the same for everybody before the first proof
//	/code /app-code /recovery-code /passkey /work-sign-in   prove it
//	/choose                       the next way, candid now: own ways, what does not count yet, what is missing
//	/new-password /old-password /unlock-now   the last word
//	/progress                     being written, done, unknown, unresolved, or why it ended
//	/not-me                       the owner says it was not them: shown by GET, done by POST
//
// Before the first valid proof no page shows anything that depends on the account.
//
//	/security-info                both halves: yours here, and at your sign-in
//	/security-info/add            which way to add, strongest first; then one page a kind, and a code to an address
//	/security-info/remove /rename shown by GET, done by POST, both after a step-up
//	/setup/now                    asked at a sign-in, by policy; /setup/go goes on to the app or the page they were going to
//	/activity                     what happened, sign-ins that are open, browsers that are trusted
//
// An app may have sent the person here and wait for its answer: Begin leads to the first page of what it asks for, /setup
// where that is to set up ways; Outcome says what became of it; Stop ends the try. The way out of every page is then the one
// back to the app, which package web puts around it.
//
// Who is signed in is package signin's to say. Every page works without script but those of passkeys, which say so. The
// view models hold messages and values; handlers fill them in and never write HTML or sentences.
package portal
