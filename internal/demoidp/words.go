package demoidp

// languages are those the pages speak, the first where nothing was asked for.
var languages = []string{"en", "de"}

// words are the texts of the pages: the organisation's, which is why they are not in the catalogue of regain's own.
var words = map[string]map[string]string{
	"brand":      {"en": "Alder Works sign-in", "de": "Alder Works Anmeldung"},
	"brand.note": {"en": "Demonstration", "de": "Vorführung"},
	"footer": {"en": "This stands for the sign-in your organisation already has. It is part of the demonstration and runs on this computer only.",
		"de": "Das steht für die Anmeldung, die Ihre Organisation schon hat. Sie gehört zur Vorführung und läuft nur auf diesem Rechner."},
	"guide": {"en": "Who can sign in, and with what", "de": "Wer sich anmelden kann und womit"},

	"first.title":    {"en": "Sign in", "de": "Anmelden"},
	"first.login":    {"en": "User name", "de": "Benutzername"},
	"first.password": {"en": "Password", "de": "Passwort"},
	"first.button":   {"en": "Sign in", "de": "Anmelden"},
	"first.or":       {"en": "or", "de": "oder"},
	"first.device":   {"en": "Sign in with this device", "de": "Mit diesem Gerät anmelden"},
	"first.device.note": {"en": "As with a passkey: no password is needed. Here the button alone does it.",
		"de": "Wie mit einem Passkey: ganz ohne Passwort. Hier genügt der Knopf."},
	"first.wrong":     {"en": "User name or password is wrong.", "de": "Benutzername oder Passwort ist falsch."},
	"first.no_device": {"en": "This device does not know that user name.", "de": "Dieses Gerät kennt den Benutzernamen nicht."},
	"cancel":          {"en": "Cancel", "de": "Abbrechen"},

	"code.title":  {"en": "One more step", "de": "Noch ein Schritt"},
	"code.lede":   {"en": "You are signing in as %s. Enter the code of your authenticator app.", "de": "Sie melden sich als %s an. Geben Sie den Code Ihrer Authenticator-App ein."},
	"code.label":  {"en": "Code", "de": "Code"},
	"code.note":   {"en": "In this demonstration everybody has a code that does not change.", "de": "In dieser Vorführung hat jeder einen Code, der sich nicht ändert."},
	"code.button": {"en": "Confirm", "de": "Bestätigen"},
	"code.wrong":  {"en": "That code is wrong.", "de": "Der Code ist falsch."},
	"code.less":   {"en": "I do not have a code", "de": "Ich habe keinen Code"},
	"code.other":  {"en": "Use another account", "de": "Anderes Konto verwenden"},

	"home.title":     {"en": "Your work account", "de": "Ihr Arbeitskonto"},
	"home.in":        {"en": "You are signed in as %s.", "de": "Sie sind als %s angemeldet."},
	"home.since":     {"en": "Since %s, %s.", "de": "Seit %s, %s."},
	"home.out":       {"en": "You are not signed in.", "de": "Sie sind nicht angemeldet."},
	"home.again":     {"en": "Sign in again", "de": "Neu anmelden"},
	"class.password": {"en": "with your password", "de": "mit Ihrem Passwort"},
	"class.second":   {"en": "with your password and a code", "de": "mit Ihrem Passwort und einem Code"},
	"class.device":   {"en": "with your device, without a password", "de": "mit Ihrem Gerät, ohne Passwort"},

	"sign_out.title":  {"en": "Sign out?", "de": "Abmelden?"},
	"sign_out.lede":   {"en": "You are signed in as %s.", "de": "Sie sind als %s angemeldet."},
	"sign_out.button": {"en": "Sign out", "de": "Abmelden"},
	"sign_out.stay":   {"en": "Stay signed in", "de": "Angemeldet bleiben"},

	"fault.title":   {"en": "This cannot go on", "de": "Hier geht es nicht weiter"},
	"fault.request": {"en": "The request is not complete. Go back and try again.", "de": "Die Anfrage ist nicht vollständig. Gehen Sie zurück und versuchen Sie es noch einmal."},
	"fault.client":  {"en": "The application that sent you here is not registered with this address.", "de": "Die Anwendung, die Sie hierher geschickt hat, ist mit dieser Adresse nicht eingetragen."},
	"fault.over":    {"en": "This sign-in is over, or it began in another browser. Go back and begin again.", "de": "Diese Anmeldung ist vorbei oder hat in einem anderen Browser begonnen. Gehen Sie zurück und beginnen Sie neu."},
}
