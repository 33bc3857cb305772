// Command go is an app that sends people to regain to reset a password. That is no sign-in: nobody has a session after it.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

var issuer, clientID, clientSecret, redirectURI, signIn = os.Getenv("ISSUER"), os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET"), os.Getenv("REDIRECT_URI"), os.Getenv("SIGN_IN")
var told = map[any]string{"done": "Your password is changed.", "partial": "Your password is changed. Some systems need a while.", "unknown": "Try the new password first, then the old one."}
var page = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><title>Example shop</title><h1>Example shop</h1>
<p id="told">{{.Told}}</p><p><a id="sign-in" href="{{.SignIn}}">Sign in</a></p><p><a id="forgot" href="/forgot">Forgot your password?</a></p>`))

func show(w http.ResponseWriter, status int, text, to string) {
	w.WriteHeader(status)
	page.Execute(w, map[string]string{"Told": text, "SignIn": to})
}

func main() {
	at, _ := url.Parse(redirectURI)
	op, err := oidc.NewProvider(context.Background(), issuer)
	if err != nil {
		log.Fatal(err)
	}
	flow := oauth2.Config{ClientID: clientID, ClientSecret: clientSecret, Endpoint: op.Endpoint(), RedirectURL: redirectURI, Scopes: []string{"openid", "regain.reset"}}
	flow.Endpoint.AuthStyle = oauth2.AuthStyleInHeader // else a call that fails is made twice, and a code is good for one
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { show(w, 200, "", signIn) })
	http.HandleFunc("GET /forgot", func(w http.ResponseWriter, r *http.Request) {
		state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
		http.SetCookie(w, &http.Cookie{Name: "forgot", Value: state + "." + nonce + "." + verifier, Path: at.Path, HttpOnly: true, Secure: at.Scheme == "https", SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, flow.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), http.StatusSeeOther)
	})
	http.HandleFunc("GET "+at.Path, func(w http.ResponseWriter, r *http.Request) {
		kept, _ := r.Cookie("forgot")
		q, asked := r.URL.Query(), strings.Split(cmp.Or(kept, &http.Cookie{}).Value+"..", ".")
		http.SetCookie(w, &http.Cookie{Name: "forgot", Path: at.Path, MaxAge: -1})  // one answer to one question
		if asked[0] == "" || q.Get("state") != asked[0] || q.Get("iss") != issuer { // before anything else of it (RFC 9207)
			show(w, 400, "That is no answer to a question of this browser.", signIn)
		} else if q.Has("error") { // access_denied: stopped, or not proved; nobody says which
			show(w, 200, "Nothing was changed.", signIn)
		} else if result, err := outcome(r.Context(), op, &flow, q.Get("code"), asked[1], asked[2]); err != nil {
			log.Print(err)
			show(w, 502, "We could not learn what became of it. Try the new password first.", signIn)
		} else { // no session and no cookie: only a sign-in is a sign-in
			to, _ := result["sign_in"].(string)
			w.Header().Set("Refresh", "5; url="+cmp.Or(to, signIn))
			show(w, 200, told[result["status"]], cmp.Or(to, signIn))
		}
	})
	log.Fatal(http.ListenAndServe(cmp.Or(os.Getenv("LISTEN"), at.Host), nil))
}

// outcome swaps the code for the signed statement of what happened.
func outcome(ctx context.Context, op *oidc.Provider, flow *oauth2.Config, code, nonce, verifier string) (map[string]any, error) {
	token, err := flow.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, err
	}
	var claims struct {
		ACR    string
		Result map[string]any `json:"urn:regain:claim:result"`
	}
	id, err := op.Verifier(&oidc.Config{ClientID: clientID}).Verify(ctx, fmt.Sprint(token.Extra("id_token"))) // signature, issuer, audience, expiry
	if err != nil || id.Claims(&claims) != nil || id.Nonce != nonce || claims.ACR != "urn:regain:acr:recovery" || claims.Result["action"] != "reset" {
		return nil, fmt.Errorf("not the statement of a reset asked for here: %v", err)
	}
	return claims.Result, nil
}
