// Package console is the rooms for staff: what helpdesk and administrators look up when somebody calls.
//
//	/console                        one box: a login, a name, a reference, the last digits of a phone
//	/console/people/{id}            whether somebody could reset now and why not, their ways, what happened
//	/console/attempts/{reference}   what happened in one try, in order
//	/console/apps, …/{key}          which apps send people here and what they may ask for; disable one, give it another secret
//	/console/receivers, …/{key}     which systems hear what happened and how that goes; disable one, test it, another secret
//	/console/connectors, …/{name}   which identity providers bring people, until when their secrets work, whether one was heard
//	                                of yet and what failed; connect another step by step, bend to one, another secret, bring back
//	                                whom one took away
//	/console/invite                 the first administrator picks what makes people staff
//
// Every room is opened in one place, which asks for a sign-in with a step-up, used in the last fifteen minutes, and for a
// role, each time. Nobody here can see or set a password, a code or a seed; destinations are masked before they reach a
// page. Whoever looks at a person or a try is written down, and how often one may look is counted. Apps and receivers are
// for administrators; what changes one asks for a step-up of the last five minutes, and a new secret is shown in the answer
// to the post that made it and nowhere else.
package console
