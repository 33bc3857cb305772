// Package app holds two examples of an app that sends people to regain, as text: what `regain app create` prints is made
// of what runs here.
package app

import _ "embed"

// Go is the app in Go, with go-oidc and x/oauth2.
//
//go:embed go/main.go
var Go string

// TypeScript is the app for Node.js, with openid-client.
//
//go:embed ts/app.ts
var TypeScript string
