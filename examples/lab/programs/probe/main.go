// A program to try the lab's network with, from inside a pod.
//
//	probe serve :8080   answers every request with the host's name
//	probe get URL       prints the answer; exit status 1 unless it is 200
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fail("usage: probe serve ADDRESS | probe get URL")
	}
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2])
	case "get":
		get(os.Args[2])
	default:
		fail("serve or get, not " + os.Args[1])
	}
}

func serve(address string) {
	name, _ := os.Hostname()
	fail(http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, name)
	})))
}

func get(url string) {
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		fail(err)
	}
	io.Copy(os.Stdout, answer.Body)
	if answer.StatusCode != http.StatusOK {
		fail(answer.Status)
	}
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
