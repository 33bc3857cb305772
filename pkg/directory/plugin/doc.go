// Package plugin speaks regain.directory.v1: the contract of package directory between two processes, as lines of JSON, so
// that an adapter can be written in any language and run as a child of the program it serves.
//
// An adapter in Go is a main function around [Serve]:
//
//	func main() {
//		err := plugin.Serve(context.Background(), os.Stdin, os.Stdout, plugin.Info{Name: "hr", Version: "1.2"},
//			func(name string, config json.RawMessage) (directory.Adapter, error) { return hr.Open(name, config) })
//		if err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//	}
//
// [Host] is the other end: a directory.Adapter that starts the child, asks it and starts it again when it dies.
//
// # The protocol
//
// Each message is one JSON object on one line, in UTF-8, of at most 1 MiB with its line feed. The host writes requests to
// the child's standard input and reads answers from its standard output; what the child writes to standard error is
// logged. Requests carry an id and are answered in any order:
//
//	→ {"id":1,"method":"hello","params":{"protocols":[1],"api":"1.0","name":"hr","config":{…}}}
//	← {"id":1,"result":{"protocol":1,"name":"hr","version":"1.2","api":"1.0","methods":["change","unlock"]}}
//	→ {"id":2,"method":"find","deadline_ms":9997,"params":{"login":"ada"}}
//	← {"id":2,"error":{"kind":"not_found"}}
//	→ {"id":3,"method":"reset","deadline_ms":9998,"params":{"op_id":"…","user":"7d0…","new":"…"}}
//	← {"id":3,"result":{"outcome":"applied"}}
//
// hello comes first and alone. name is what the directory is called in the host's configuration; config is what the operator configured, secrets included: nothing secret is ever in an
// argument or the environment. methods names those optional abilities the child has: change, unlock, require_change, policy,
// list, verify, reconcile. Always there are describe, find, status, reset and health.
//
// deadline_ms is how many milliseconds are left for the answer. A request that nobody waits for any more is withdrawn by
// {"method":"cancel","params":{"id":3}}, which is advice and has no answer. A closed standard input means: answer what is in
// hand and exit.
//
// # The truth about writes
//
// reset, change, unlock and require_change say in result.outcome or error.outcome whether anything was written: "applied",
// "not_applied" or "unknown". An error of a kind the host does not know, or without an outcome where its kind does not
// imply one, is taken for unknown; so is the silence of a child that dies or answers too late. The host never sends a write
// twice: op_id is there for a directory that can recognise a repeat by itself.
//
// Both sides ignore members they do not know. A change that would break one of them gets another protocol number; hello
// settles the highest that both speak. The messages as JSON Schema stand in api/directory/v1.
package plugin
