package console

import (
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/message"
)

// clientSamples is every state of the pages of apps and receivers.
func clientSamples() map[string]view {
	in := func(h time.Duration) time.Time { return noon.Add(h * time.Hour) }
	tokens := []client.Token{{ID: "t1", Created: in(-2000), Expires: in(20)}, {ID: "t2", Created: in(-4)}}
	link := client.App{Key: "intranet", Name: "Intranet", Returns: []string{"https://intranet.contoso.example/"}, Created: in(-9000), Updated: in(-9000)}
	portal := client.App{
		Key: "hr-portal", Name: "HR Portal", Returns: []string{"https://hr.contoso.example/", "https://hr.contoso.example/start"}, Redirects: []string{"https://hr.contoso.example/signin/callback"},
		Actions: client.Actions, Auth: client.AuthSecret, Secrets: tokens, Alg: "ES256", Subject: client.Pairwise, Sector: "hr.contoso.example",
		Initiate: "https://hr.contoso.example/signin", Version: 3, Created: in(-900), Updated: in(-4),
	}
	keyed := portal
	keyed.Key, keyed.Name, keyed.Auth, keyed.Secrets, keyed.Initiate, keyed.Returns, keyed.Subject, keyed.PushOnly, keyed.Disabled = "payroll", "Payroll", client.AuthKey, nil, "", nil, client.Public, true, true
	keyed.Keys = []client.PublicKey{{ID: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", Created: in(-300)}}
	fresh := portal
	fresh.Secrets = nil

	good := client.Health{Good: in(-1)}
	bad := client.Health{Good: in(-30), Bad: in(-1), Class: "status-503", Waiting: 12, Dead: 1}
	hook := client.Receiver{
		Key: "tickets", Name: "Ticket system", Kind: client.ReceiverWebhook, Format: client.FormatOpaque, URL: "https://hooks.contoso.example/in/T0K3N?key=s3cret", Version: 1,
		Events: []string{"password.reset", "attempt.disputed"}, Sign: []client.SignSecret{{Secret: []byte("never shown, never shown, never!"), Created: in(-40), Expires: in(-16)}, {Created: in(-40)}}, Created: in(-40), Updated: in(-40),
	}
	idp := client.Receiver{
		Key: "entra", Name: "Entra ID", Kind: client.ReceiverSSF, Format: client.FormatIssSub, IDP: "corp", Secrets: tokens, Audience: "https://events.contoso.example/ssf",
		Hosts: []string{"events.contoso.example", "events.contoso.example:8443"}, Created: in(-90), Updated: in(-4),
	}
	stopped := idp
	stopped.Disabled, stopped.Hosts, stopped.Format, stopped.IDP, stopped.Secrets = true, nil, client.FormatEmail, "", nil
	streams := []StreamOf{
		{client.Stream{Delivery: "push", Endpoint: "https://events.contoso.example/T0K3N", Status: client.StreamEnabled, Description: "Sessions of staff"}, good},
		{client.Stream{Delivery: "poll", Status: client.StreamPaused, Reason: "maintenance until Monday"}, bad},
		{client.Stream{Delivery: "push", Endpoint: "https://old.contoso.example/", Status: client.StreamDisabled}, client.Health{Bad: in(-200), Class: "timeout", Waiting: 1}},
	}
	heard := func(r client.Receiver, n int, h client.Health) HeardBy {
		return HeardBy{Receiver: r, Streams: n, Health: h}
	}
	never := hook
	never.Key, never.Name = "siem", "SIEM"
	entra := client.Connector{ID: "c1", Name: "entra", Trust: client.TrustOne, Preset: client.PresetEntra, Tokens: tokens, Version: 2, Created: in(-900), Updated: in(-4), Last: in(-1)}
	hr := client.Connector{ID: "c2", Name: "hr.system-1", Trust: client.TrustAll, Preset: client.PresetStandard, Groups: true, Roles: true, Uses: []client.Use{client.UseUsers, client.UseGroups}, ReadOnly: true, Rate: 25,
		Tokens: []client.Token{{ID: "t", Created: in(-1000), Expires: in(-1)}}, Created: in(-1000), Updated: in(-1000), Last: in(-80)}
	made := client.Connector{ID: "c3", Name: "okta", Trust: client.TrustNone, Preset: client.PresetStrict, Tokens: []client.Token{{ID: "t", Created: noon}}, Created: noon, Updated: noon}
	const scim, token = "https://reset.contoso.example/scim/v2", "rgn_scim_8zT2o5yH7mQJm3kN1vRwXcB4sLdFgA6pUeIjKtYhOqE_1a2b3c4d"
	return map[string]view{
		"connectors": ConnectorsPage{Connectors: []client.Connector{entra, hr, made}, Provider: ProviderEntra, Now: noon}, "connectors-none": ConnectorsPage{Provider: ProviderEntra, Now: noon},
		"connectors-wrong":    ConnectorsPage{Connectors: []client.Connector{entra}, Name: "My IdP", Provider: ProviderKeycloak, Now: noon}.wrong("console.connectors.name.wrong"),
		"connectors-taken":    ConnectorsPage{Connectors: []client.Connector{entra}, Name: "entra", Provider: ProviderKeycloak, Now: noon}.wrong("console.connectors.name.taken"),
		"connectors-many":     ConnectorsPage{Name: "entra", Provider: ProviderKeycloak, Now: noon}.wrong("console.connectors.many"),
		"connected":           ConnectedPage{Name: "okta", Address: scim, Secret: token, Preset: client.PresetStandard, Provider: ProviderOkta, Ends: in(8760), First: true},
		"connected-entra":     ConnectedPage{Name: "entra", Address: scim, Secret: token, Preset: client.PresetEntra, Provider: ProviderEntra, Ends: in(8760), First: true},
		"connected-authentik": ConnectedPage{Name: "authentik", Address: scim, Secret: token, Preset: client.PresetStandard, Provider: ProviderAuthentik, First: true},
		"connected-keycloak":  ConnectedPage{Name: "keycloak", Address: scim, Secret: token, Preset: client.PresetStandard, Provider: ProviderKeycloak, First: true},
		"connected-other":     ConnectedPage{Name: "hr", Address: scim, Secret: token, Preset: client.PresetStandard, Provider: ProviderOther, First: true},
		"connected-again":     ConnectedPage{Name: "entra", Address: scim, Secret: token, Preset: client.PresetEntra, Until: in(24)}, "connected-ended": ConnectedPage{Name: "entra", Address: scim, Secret: token, Preset: client.PresetStrict},
		"connector":           ConnectorPage{Connector: entra, Address: scim, Heard: client.LastHeard{At: in(-1), What: "PATCH Groups", Status: 204, BadAt: in(-3), BadWhat: "POST Users", BadStatus: 400}, Rules: sampleRules(), Provider: ProviderEntra, Now: noon},
		"connector-failing":   ConnectorPage{Connector: entra, Address: scim, Heard: client.LastHeard{At: in(-1), What: "POST Users", Status: 400, BadAt: in(-1), BadWhat: "POST Users", BadStatus: 400}, Provider: ProviderEntra, Now: noon},
		"connector-refused":   ConnectorPage{Connector: made, Address: scim, Heard: client.LastHeard{At: noon, BadAt: noon, BadWhat: "GET Users", BadStatus: 401}, Rules: sampleRules(), Provider: ProviderOkta, Now: in(1)},
		"connector-forbidden": ConnectorPage{Connector: entra, Address: scim, Heard: client.LastHeard{At: noon, BadAt: noon, BadWhat: "GET Groups", BadStatus: 403}, Now: noon},
		"connector-large":     ConnectorPage{Connector: entra, Address: scim, Heard: client.LastHeard{At: noon, BadAt: noon, BadWhat: "PUT Groups", BadStatus: 413}, Now: noon},
		"connector-type":      ConnectorPage{Connector: entra, Address: scim, Heard: client.LastHeard{At: noon, BadAt: noon, BadWhat: "POST Users", BadStatus: 415}, Now: noon},
		"connector-often":     ConnectorPage{Connector: entra, Address: scim, Heard: client.LastHeard{At: noon, BadAt: noon, BadWhat: "GET Users", BadStatus: 429}, Now: noon},
		"connector-ours":      ConnectorPage{Connector: entra, Address: scim, Heard: client.LastHeard{At: noon, BadAt: noon, BadWhat: "GET Users", BadStatus: 503}, Now: noon},
		"connector-odd":       ConnectorPage{Connector: entra, Address: scim, Heard: client.LastHeard{At: noon, BadAt: noon, BadWhat: "other elsewhere", BadStatus: 405}, Now: noon},
		"connector-stray":     ConnectorPage{Connector: made, Address: scim, Lost: client.LastHeard{At: in(0), BadAt: noon, BadWhat: "mistyped", BadStatus: 401}, Provider: ProviderAuthentik, Now: noon},
		"connector-unknown":   ConnectorPage{Connector: made, Address: scim, Lost: client.LastHeard{At: in(0), BadAt: noon, BadWhat: "unknown", BadStatus: 401}, Provider: ProviderOther, Now: noon},
		"connector-keyed":     ConnectorPage{Connector: client.Connector{ID: "c4", Name: "workday", Trust: client.TrustOne, Preset: client.PresetStandard, SetPassword: true, Keys: keyed.Keys, Created: in(-10), Updated: in(-10), Last: in(-1)}, Address: scim, Now: noon},
		"connector-jwks":      ConnectorPage{Connector: client.Connector{ID: "c5", Name: "ipsie", Trust: client.TrustOne, Preset: client.PresetStandard, JWKS: "https://idp.contoso.example/jwks", Created: in(-10), Updated: in(-10), Last: in(-1)}, Address: scim, Provider: ProviderKeycloak, Now: noon}, "connector-waits": ConnectorPage{Connector: made, Address: scim, Now: noon}, "connector-tired": ConnectorPage{Connector: made, Address: scim, Now: in(1)},
		"connector-quiet":    ConnectorPage{Connector: hr, Address: scim, Now: noon},
		"connector-wave":     ConnectorPage{Connector: entra, Address: scim, Now: noon, Held: 4210, Wave: &client.Wave{ID: "w", Began: in(-2), Last: in(-1)}},
		"connector-wave-one": ConnectorPage{Connector: entra, Address: scim, Now: noon, Held: 1, Wave: &client.Wave{ID: "w", Began: in(-2), Last: in(-1)}},
		"hostile-connectors": ConnectorsPage{Connectors: []client.Connector{{Name: hostile, Trust: client.TrustOne}}, Name: hostile, Now: noon}, "hostile-connected": ConnectedPage{Name: hostile, Secret: hostile},
		"hostile-connector": ConnectorPage{Connector: client.Connector{Name: hostile, Trust: client.TrustOne}, Address: hostile, Now: noon},
		"apps":              AppsPage{Apps: []client.App{portal, link, keyed}}, "apps-none": AppsPage{},
		"app": AppPage{App: portal, Now: noon}, "app-link": AppPage{App: link, Now: noon}, "app-keyed": AppPage{App: keyed, Now: noon}, "app-fresh": AppPage{App: fresh, Now: noon},
		"secret":         SecretPage{Name: "HR Portal", Secret: "rgn_app_8zT2o5yH7mQJm3kN1vRwXcB4sLdFgA6pUeIjKtYhOqE_1a2b3c4d", Until: in(24), Back: PathApps + "/hr-portal"},
		"secret-ended":   SecretPage{Name: "Ticket system", Secret: "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", Back: PathReceivers + "/tickets"},
		"receivers":      ReceiversPage{Receivers: []HeardBy{heard(idp, 3, together([]client.Health{good, bad})), heard(never, 0, client.Health{}), heard(stopped, 1, client.Health{Bad: in(-3), Class: "refused-address", Waiting: 1, Dead: 3}), heard(hook, 0, bad)}},
		"receivers-none": ReceiversPage{},
		"receiver":       ReceiverPage{Receiver: hook, Health: good, Tests: true, Now: noon}, "receiver-tested": ReceiverPage{Receiver: hook, Health: bad, Failing: true, Tests: true, Now: noon, Note: message.Key("console.receiver.tested")},
		"receiver-new": ReceiverPage{Receiver: never, Tests: true, Now: noon}, "receiver-ssf": ReceiverPage{Receiver: idp, Streams: streams, Health: together([]client.Health{good, bad}), Tests: true, Now: noon},
		"receiver-disabled": ReceiverPage{Receiver: stopped, Tests: true, Now: noon},
		"hostile-apps":      AppsPage{Apps: []client.App{{Key: hostile, Name: hostile}}},
		"hostile-app":       AppPage{App: client.App{Key: hostile, Name: hostile, Redirects: []string{hostile}, Returns: []string{hostile}, Alg: hostile, Auth: client.AuthKey, Initiate: hostile, Keys: []client.PublicKey{{ID: hostile}}}, Now: noon},
		"hostile-receivers": ReceiversPage{Receivers: []HeardBy{heard(client.Receiver{Key: hostile, Name: hostile}, 0, client.Health{Bad: noon, Class: hostile})}},
		"hostile-receiver": ReceiverPage{Now: noon, Note: message.Key("console.receiver.tested"), Health: client.Health{Bad: noon, Class: hostile}, Receiver: client.Receiver{Key: hostile, Name: hostile, IDP: hostile, Audience: hostile, Hosts: []string{hostile}, Events: []string{hostile}},
			Streams: []StreamOf{{client.Stream{Delivery: "push", Endpoint: "https://" + hostile, Description: hostile, Reason: hostile}, client.Health{Bad: noon, Class: hostile}}}},
	}
}

// sampleRules are the rules of a connector, one of them turned each way.
func sampleRules() []Rule {
	var all []Rule
	for i, name := range []string{"any-case-ops", "string-booleans", "dotted-keys", "scalar-complex", "wrap-single", "drop-duplicates", "loose-schemas", "ignore-unknown", "bracket-filters", "first-primary",
		"ignore-lost-members", "put-keeps-absent", "replace-creates", "brief-patch"} {
		all = append(all, Rule{Name: name, On: i%3 > 0, Own: i == 3 || i == 4})
	}
	return all
}
