// Package scimtest judges SCIM servers and stores.
//
// StoreSuite checks that a scim.Store keeps the promises of its interface, with random resources and filters against the
// evaluation in memory. Run checks a whole server over HTTP: the rules of RFC 7643 and RFC 7644, requests that are meant to
// hurt, and the recorded requests of real identity providers under testdata/quirks, each with the answer and the stored
// state expected under the presets strict, standard and entra. RunPresets does so for all three and reads what is stored
// strictly; RunSwitches tries each rule of schema.Compat by itself.
package scimtest
