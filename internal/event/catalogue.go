package event

import "time"

// Type names one kind of fact. Names are stable: they stand in audit logs, exports and alert rules.
type Type string

// Route is one way out of the event log. An event whose entry names routes also writes one row of work for each, in
// the same statement, so that no message can be lost or sent for a change that never happened.
type Route string

// The routes. Each is the kind of a row of work; a worker of that kind expands it per receiver.
const (
	RouteCode      Route = "code"      // deliver the code of challenge Event.Ref
	RouteNotice    Route = "notice"    // tell the subject, at every address
	RouteSecurity  Route = "security"  // tell the organisation's security contact
	RouteReconcile Route = "reconcile" // find out what became of the write Event.Ref
	RouteRetire    Route = "retire"    // end what outlived its time: attempts, typed names
	RouteConfirm   Route = "confirm"   // deliver the code of enrolment Event.Ref
	RouteSignal    Route = "signal"    // tell the receivers of other systems
	RouteFeed      Route = "feed"      // tell those of them that follow people and groups as SCIM knows them (RFC 9967)
)

// Entry describes one type of event: where it goes, how long its work is worth doing, and what it means.
type Entry struct {
	Routes []Route
	Life   time.Duration // work is dropped this long after Due; zero means 72 hours
	Delay  time.Duration // work starts this long after the event
	About  string        // one sentence for the catalogue in api/events.md
}

// The catalogue's types.
const (
	AttemptStarted   Type = "attempt.started"
	AttemptResolved  Type = "attempt.resolved"
	AttemptExtended  Type = "attempt.extended"
	AttemptCancelled Type = "attempt.cancelled"
	AttemptExpired   Type = "attempt.expired"
	AttemptBlocked   Type = "attempt.blocked"
	AttemptProved    Type = "attempt.proved"
	AttemptDisputed  Type = "attempt.disputed"
	DisputeEnded     Type = "dispute.ended"
	AttemptCannot    Type = "attempt.cannot_finish"
	AttemptFlooded   Type = "attempt.flooded"

	CodeAsked   Type = "code.asked"
	CodeSent    Type = "code.sent"
	CodeUnsent  Type = "code.unsent"
	ProofRight  Type = "proof.accepted"
	ProofWrong  Type = "proof.refused"
	MethodSpent Type = "method.disabled"

	WriteStarted    Type = "write.started"
	WriteRefused    Type = "write.refused"
	WriteUnknown    Type = "write.unknown"
	WriteReconciled Type = "write.reconciled"
	WriteUnresolved Type = "write.unresolved"
	PasswordReset   Type = "password.reset"
	PasswordChanged Type = "password.changed"
	AccountUnlocked Type = "account.unlocked"
	LinkMade        Type = "link.made"
	LinkRefused     Type = "link.refused"

	PersonCreated     Type = "person.created"
	PersonUpdated     Type = "person.updated"
	PersonDeactivated Type = "person.deactivated"
	PersonReactivated Type = "person.reactivated"
	PersonDeleted     Type = "person.deleted"
	PersonRestored    Type = "person.restored"
	GroupCreated      Type = "group.created"
	GroupUpdated      Type = "group.updated"
	GroupDeleted      Type = "group.deleted"
	RequestAnswered   Type = "request.answered"
	MethodAdded       Type = "method.added"
	MethodProvisioned Type = "method.provisioned"
	MethodChanged     Type = "method.changed"
	MethodRemoved     Type = "method.removed"

	MethodConfirmAsked Type = "method.confirm_asked"
	MethodConfirmSent  Type = "method.confirm_sent"
	MethodConfirmWrong Type = "method.confirm_refused"
	MethodLeaving      Type = "method.leaving"
	MethodKept         Type = "method.kept"

	IdentityMade     Type = "identity.made"
	IdentityRefused  Type = "identity.refused"
	SignInRefused    Type = "signin.refused"
	SessionStarted   Type = "session.started"
	SessionSteppedUp Type = "session.stepped_up"
	SessionEnded     Type = "session.ended"
	BrowserTrusted   Type = "browser.trusted"
	BrowserForgotten Type = "browser.forgotten"

	SignalReceived Type = "signal.received"
	SignalFlooded  Type = "signal.flooded"
	AlertConfirmed Type = "alert.confirmed"
	AlertLifted    Type = "alert.lifted"

	RegistrationSnoozed  Type = "registration.snoozed"
	RegistrationReviewed Type = "registration.reviewed"
	RegistrationRefused  Type = "registration.refused"

	AppCreated    Type = "app.created"
	AppChanged    Type = "app.changed"
	AppDeleted    Type = "app.deleted"
	RoleGranted   Type = "role.granted"
	RoleRevoked   Type = "role.revoked"
	StaffInvited  Type = "staff.invited"
	StaffRefused  Type = "staff.refused"
	PersonViewed  Type = "person.viewed"
	AttemptViewed Type = "attempt.viewed"

	HandoffOpened   Type = "handoff.opened"
	HandoffAnswered Type = "handoff.answered"
	HandoffEnded    Type = "handoff.ended"
	HandoffRedeemed Type = "handoff.redeemed"
	HandoffRefused  Type = "handoff.refused"

	ReceiverCreated  Type = "receiver.created"
	ReceiverChanged  Type = "receiver.changed"
	ReceiverDeleted  Type = "receiver.deleted"
	StreamCreated    Type = "stream.created"
	StreamChanged    Type = "stream.changed"
	StreamDeleted    Type = "stream.deleted"
	SigningRotated   Type = "signing.rotated"
	SigningWithdrawn Type = "signing.withdrawn"

	ConnectorCreated Type = "connector.created"
	ConnectorChanged Type = "connector.changed"
	ConnectorDeleted Type = "connector.deleted"
	ConnectorRefused Type = "connector.refused"
	ConnectorBraked  Type = "connector.braked"
	ConnectorExpects Type = "connector.expects"
	ConnectorUndone  Type = "connector.undone"
	PolicyApplied    Type = "policy.applied"
	KeyRotated       Type = "key.rotated"
	ServeStarted     Type = "serve.started"
)

// Catalogue lists every type. A type outside it cannot be made.
var Catalogue = map[Type]Entry{
	AttemptStarted:   {Routes: []Route{RouteRetire}, Delay: 28 * time.Hour, Life: 30 * 24 * time.Hour, About: "somebody typed a login name and began a try"},
	AttemptResolved:  {About: "the name typed was matched to a person, or to nobody"},
	AttemptExtended:  {About: "the person asked for fifteen more minutes"},
	AttemptCancelled: {About: "the person, or the owner of the account, ended the try"},
	AttemptExpired:   {About: "the try ran out of time"},
	AttemptBlocked:   {About: "the try ended because a limit or the directory refused for good"},
	AttemptProved:    {Routes: []Route{RouteSignal}, About: "as many proofs as the policy asks for were accepted"},
	AttemptDisputed:  {Routes: []Route{RouteNotice, RouteSecurity, RouteSignal}, About: "the owner said: this was not me"},
	DisputeEnded:     {About: "staff looked into a disputed act; the ways it took out count again"},
	AttemptCannot:    {Routes: []Route{RouteNotice}, Life: 24 * time.Hour, About: "somebody who cannot finish was told honestly why, at the stored addresses"},
	AttemptFlooded:   {Routes: []Route{RouteNotice}, Life: time.Hour, About: "more codes were asked for than may be sent; the person was told, once an hour"},

	CodeAsked:   {Routes: []Route{RouteCode}, Life: 10 * time.Minute, About: "a code was asked for"},
	CodeSent:    {About: "a code was handed to the mail server or the text message provider"},
	CodeUnsent:  {About: "a code was not sent, and why"},
	ProofRight:  {About: "a method was proved"},
	ProofWrong:  {About: "a proof was refused"},
	MethodSpent: {Routes: []Route{RouteNotice}, About: "a method was disabled after a hundred wrong tries in a row"},

	WriteStarted:    {Routes: []Route{RouteReconcile}, Delay: 20 * time.Second, Life: 24 * time.Hour, About: "a password write was about to be sent to the directory"},
	WriteRefused:    {About: "the directory refused the write, and by which rule"},
	WriteUnknown:    {Routes: []Route{RouteNotice}, About: "the write was sent and no answer came: the password may have been changed"},
	WriteReconciled: {About: "what became of an unanswered write was found out"},
	WriteUnresolved: {About: "what became of an unanswered write could not be found out"},
	PasswordReset:   {Routes: []Route{RouteNotice, RouteSignal}, About: "a forgotten password was replaced"},
	PasswordChanged: {Routes: []Route{RouteNotice, RouteSignal}, About: "a known password was changed"},
	AccountUnlocked: {Routes: []Route{RouteNotice, RouteSignal}, About: "a locked account was unlocked"},
	LinkMade:        {About: "a person was tied to an account in a directory"},
	LinkRefused:     {About: "the tie between a person and a directory account was missing, ambiguous or had moved"},

	PersonCreated:     {Routes: []Route{RouteFeed}, About: "a person was provisioned"},
	PersonUpdated:     {Routes: []Route{RouteFeed}, About: "a person's attributes changed"},
	PersonDeactivated: {Routes: []Route{RouteSignal, RouteFeed}, About: "a person was disabled; their tries and sessions ended at once"},
	PersonReactivated: {Routes: []Route{RouteFeed}, About: "a disabled person was enabled again"},
	PersonDeleted:     {Routes: []Route{RouteFeed}, About: "a person was deleted"},
	PersonRestored:    {Routes: []Route{RouteFeed}, About: "a person who had been deleted was brought back with what they had, and nothing new"},
	GroupCreated:      {Routes: []Route{RouteFeed}, About: "a group was provisioned"},
	GroupUpdated:      {Routes: []Route{RouteFeed}, About: "a group's name or members changed"},
	GroupDeleted:      {Routes: []Route{RouteFeed}, About: "a group was deleted"},
	RequestAnswered:   {Routes: []Route{RouteFeed}, About: "an operation of a connector that wanted to be answered later was done, or not"},
	MethodAdded:       {Routes: []Route{RouteNotice, RouteSignal}, About: "a way to prove who they are was added for a person"},
	MethodProvisioned: {About: "a person was provisioned with a way to prove who they are; nobody is told, for nothing was there before"},
	MethodChanged:     {Routes: []Route{RouteSignal}, About: "a method's state changed"},
	MethodRemoved:     {Routes: []Route{RouteNotice, RouteSignal}, About: "a way to prove who they are was removed from a person"},

	MethodConfirmAsked: {Routes: []Route{RouteConfirm}, Life: 10 * time.Minute, About: "a code was asked for, to confirm an address that is being registered"},
	MethodConfirmSent:  {About: "that code was handed over, or not, and why"},
	MethodConfirmWrong: {About: "what should have confirmed a way was wrong"},
	MethodLeaving:      {Routes: []Route{RouteNotice}, About: "a way will be removed once the hold after a reset has ended"},
	MethodKept:         {Routes: []Route{RouteNotice}, About: "a way that was to be removed stays"},

	IdentityMade:     {About: "a person was tied to their account at an identity provider"},
	IdentityRefused:  {About: "somebody signed in at an identity provider and is nobody here, or not the one that account belongs to"},
	SignInRefused:    {About: "an answer of an identity provider was refused, and why"},
	SessionStarted:   {About: "a person signed in"},
	SessionSteppedUp: {About: "a person signed in again, more strongly"},
	SessionEnded:     {About: "a session ended: signed out here, at the identity provider, or elsewhere by the person"},
	BrowserTrusted:   {Routes: []Route{RouteNotice}, About: "a person said that they trust a browser"},
	BrowserForgotten: {About: "a trusted browser is trusted no more"},

	// None of them goes on to receivers: two systems that tell each other what they heard would never stop.
	SignalReceived: {About: "an identity provider said that somebody's sessions, credentials or account there are not to be trusted, or are again"},
	SignalFlooded:  {Routes: []Route{RouteSecurity}, About: "an identity provider shut so many accounts at once that no more are kept from resetting"},
	AlertConfirmed: {About: "staff confirmed what an identity provider said; it holds until they lift it"},
	AlertLifted:    {About: "staff lifted what an identity provider said"},

	RegistrationSnoozed:  {About: "a person put off registering"},
	RegistrationReviewed: {About: "a person said that their ways are still right"},
	RegistrationRefused:  {About: "the policy did not let a person change their ways, and why"},

	AppCreated:    {About: "an app was registered"},
	AppChanged:    {About: "an app's name or addresses changed, or it was disabled"},
	AppDeleted:    {About: "an app was deleted"},
	RoleGranted:   {About: "a claim or a group makes people staff from now on"},
	RoleRevoked:   {About: "a claim or a group makes nobody staff any more"},
	StaffInvited:  {About: "a link was made by which somebody may become staff"},
	StaffRefused:  {About: "somebody without a role wanted to enter the console"},
	PersonViewed:  {About: "staff looked at a person"},
	AttemptViewed: {About: "staff looked at a try"},

	HandoffOpened:   {About: "an app sent somebody here"},
	HandoffAnswered: {About: "somebody an app had sent went back to it with a signed statement of what happened"},
	HandoffEnded:    {About: "somebody an app had sent went back to it with nothing changed, and why"},
	HandoffRedeemed: {About: "an app took the statement of what happened"},
	HandoffRefused:  {About: "a request of an app for that statement was refused, and why: a code that was used before may have been stolen"},

	ReceiverCreated:  {About: "a receiver of events was registered"},
	ReceiverChanged:  {Routes: []Route{RouteSignal}, About: "a receiver's events, address or secrets changed, or it was disabled"},
	ReceiverDeleted:  {About: "a receiver was deleted"},
	StreamCreated:    {About: "a receiver made a stream"},
	StreamChanged:    {Routes: []Route{RouteSignal}, About: "a stream was changed, paused, enabled or disabled, by the receiver or by us"},
	StreamDeleted:    {About: "a receiver deleted a stream"},
	SigningRotated:   {About: "statements are signed with another key from now on"},
	SigningWithdrawn: {About: "a key is not published any more: what it signed is believed by nobody who looks"},

	ConnectorCreated: {About: "a connector was created"},
	ConnectorChanged: {About: "a connector's trust, preset, tokens or what it may do changed"},
	ConnectorDeleted: {About: "a connector was deleted"},
	ConnectorRefused: {About: "a connector wanted to fill a group that makes people staff, or to set the password of somebody who is staff or protected, and is not trusted for it"},
	ConnectorBraked:  {Routes: []Route{RouteSecurity}, About: "a connector took very many people away in ten minutes; what it takes away can be undone for seven days"},
	ConnectorExpects: {About: "an operator said that a connector will take many people away, and until when"},
	ConnectorUndone:  {About: "the people whom a connector took away in one wave were brought back"},
	PolicyApplied:    {About: "a version of the policy was applied"},
	KeyRotated:       {About: "the key file has a new primary key"},
	ServeStarted:     {About: "a server started"},
}

// DefaultLife is how long work is worth doing when its entry names no Life.
const DefaultLife = 72 * time.Hour

// Work is one row of work an event brings along.
type Work struct {
	Route     Route
	Ref       string
	NotBefore time.Time
	NotAfter  time.Time
}

// Work returns the rows of work the event writes in its own commit.
func (e Event) Work() []Work {
	entry := Catalogue[e.Type]
	out := make([]Work, 0, len(entry.Routes))
	for _, r := range entry.Routes {
		w := Work{Route: r, Ref: e.Ref, NotBefore: e.At.Add(entry.Delay), NotAfter: e.Until}
		if w.Ref == "" {
			w.Ref = e.Txn
		}
		if !e.Due.IsZero() {
			w.NotBefore = e.Due
		}
		if w.NotAfter.IsZero() {
			life := entry.Life
			if life == 0 {
				life = DefaultLife
			}
			w.NotAfter = w.NotBefore.Add(life)
		}
		out = append(out, w)
	}
	return out
}
