package signal

import (
	"net/http"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
)

// Paths of the management API (SSF 1.0 §8.1) and of what it needs.
const (
	PathWellKnown = "/.well-known/ssf-configuration"
	PathSSF       = "/ssf/"
	pathJWKS      = "/ssf/jwks"
	pathStreams   = "/ssf/streams"
	pathStatus    = "/ssf/status"
	pathAdd       = "/ssf/subjects:add"
	pathRemove    = "/ssf/subjects:remove"
	pathVerify    = "/ssf/verify"
	pathPoll      = "/ssf/poll/"
)

// api is the side of the service that receivers call.
type api struct {
	*Service
	gate        gate
	polls       waiting
	wait, every time.Duration // of polling
}

// HTTP answers below PathSSF: the key set, and for receivers with an access token their streams, the status and subjects of
// one, verification and polling. Safe for concurrent use; call it once, for it counts who waits.
//
//	/ssf/jwks                                       RFC 7517 §5
//	/ssf/streams   POST GET PATCH PUT DELETE        SSF 1.0 §8.1.1
//	/ssf/status    GET POST                         SSF 1.0 §8.1.2
//	/ssf/subjects:add  /ssf/subjects:remove  POST   SSF 1.0 §8.1.3
//	/ssf/verify    POST                             SSF 1.0 §8.1.4
//	/ssf/poll/ID   POST                             RFC 8936 §2
func (s *Service) HTTP() http.Handler {
	a := &api{Service: s, wait: pollWait, every: pollEvery}
	return a.routes()
}

func (a *api) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathJWKS, a.jwks)
	manage, read := []client.Scope{client.ScopeManage}, []client.Scope{client.ScopeManage, client.ScopeRead}
	for pattern, route := range map[string]struct {
		scopes []client.Scope
		answer answerer
	}{
		"POST " + pathStreams:           {manage, a.createStream},
		"GET " + pathStreams:            {read, a.readStreams},
		"PATCH " + pathStreams:          {manage, a.updateStream},
		"PUT " + pathStreams:            {manage, a.replaceStream},
		"DELETE " + pathStreams:         {manage, a.deleteStream},
		"GET " + pathStatus:             {read, a.readStatus},
		"POST " + pathStatus:            {manage, a.setStatus},
		"POST " + pathAdd:               {manage, a.addSubject},
		"POST " + pathRemove:            {manage, a.removeSubject},
		"POST " + pathVerify:            {manage, a.verify},
		"POST " + pathPoll + "{stream}": {read, a.poll},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			who, err := a.enter(r, route.scopes...)
			if err == nil {
				err = route.answer(w, r, who)
			}
			if err != nil {
				a.answerFault(w, r, err)
			}
		})
	}
	return mux
}

// answerer answers a request of a receiver that was let in, or returns why not and has written nothing.
type answerer func(w http.ResponseWriter, r *http.Request, who *client.Receiver) error

// WellKnown answers at PathWellKnown with what there is and where (SSF 1.0 §7.1). Everybody may read it.
func (s *Service) WellKnown() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "GET only", http.StatusMethodNotAllowed)
			return
		}
		write(w, http.StatusOK, s.metadata())
	})
}

// metadata is the transmitter configuration. Members without values are left out (SSF 1.0 §7.2.4), so there are no
// critical_subject_members: subjects are simple.
func (s *Service) metadata() map[string]any {
	return map[string]any{
		"spec_version":               "1_0",
		"issuer":                     s.Base,
		"jwks_uri":                   s.base + pathJWKS,
		"delivery_methods_supported": []string{methodPush, methodPoll},
		"configuration_endpoint":     s.base + pathStreams,
		"status_endpoint":            s.base + pathStatus,
		"add_subject_endpoint":       s.base + pathAdd,
		"remove_subject_endpoint":    s.base + pathRemove,
		"verification_endpoint":      s.base + pathVerify,
		"authorization_schemes":      []map[string]string{{"spec_urn": "urn:ietf:rfc:6749"}},
		"default_subjects":           "ALL",
	}
}

// jwks answers with the keys that events are signed with: those of before and of after the next rotation, too. They sign
// nothing else, so that an ID token of ours can never pass for an event or the other way round.
func (s *Service) jwks(w http.ResponseWriter, r *http.Request) {
	keys, err := s.eventKeys(r.Context())
	if err != nil {
		s.answerFault(w, r, err)
		return
	}
	set, err := keyring.JWKS(keys...)
	if err != nil {
		s.answerFault(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Write(set) //nolint:errcheck // the reader is gone; there is nobody to tell
}
