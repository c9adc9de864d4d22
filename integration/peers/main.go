// Command peers answers, line by line, what Docker's own client, BuildKit's own Dockerfile frontend
// and distribution's own references make of a text. Tests hold mlbuild's readers against it.
//
//	peers run         a JSON list of words: what `docker run` says of them
//	peers reference   a JSON text: the image that it names
//	peers from        a JSON object {"text", "args"}: the base of each stage
//	peers dockerfile  a JSON text: the reason why it isn't a Dockerfile
//
// Each answer is one line of JSON: {"ok": …} or {"error": "…"}.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type answer struct {
	Ok    any    `json:"ok,omitempty"`
	Error string `json:"error,omitempty"`
}

var questions = map[string]func([]byte) (any, error){
	"run":        dockerRun,
	"reference":  readReference,
	"from":       fromImages,
	"dockerfile": readDockerfile,
}

func main() {
	if len(os.Args) != 2 || questions[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: peers run|reference|from|dockerfile < QUESTIONS")
		os.Exit(2)
	}
	ask := questions[os.Args[1]]
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	for in.Scan() {
		encoder.Encode(answered(ask, in.Bytes()))
	}
}

func answered(ask func([]byte) (any, error), line []byte) (said answer) {
	// A peer that panics on a text refuses it.
	defer func() {
		if fault := recover(); fault != nil {
			said = answer{Error: fmt.Sprint(fault)}
		}
	}()
	ok, err := ask(line)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Ok: ok}
}
