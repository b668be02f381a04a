// Command chat is a Socket.IO client in Go: it sends each line of its input to a channel, and prints what it hears and is answered.
//
// Usage: chat URL TOKEN CHANNEL
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/zishang520/socket.io/clients/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

func main() {
	channel := os.Args[3]
	options := socket.DefaultOptions()
	options.SetTransports(types.NewSet(socket.WebSocket))
	options.SetAuth(map[string]any{"token": os.Args[2]})
	client, err := socket.Connect(os.Args[1], options)
	if err != nil {
		log.Fatal(err)
	}
	on := func(event string, do func(args ...any)) {
		if err := client.On(types.EventName(event), do); err != nil {
			log.Fatal(err)
		}
	}
	ask := func(event string, arg any, what string) {
		err := client.Emit(event, arg, func(reply []any, err error) { tell(what, err == nil && ok(reply)) })
		if err != nil {
			log.Fatal(err)
		}
	}
	on("connect", func(...any) {
		tell("connected")
		ask("join:channel", channel, "joined")
	})
	on("disconnect", func(args ...any) { tell("disconnected", args[0]) })
	on("message:new", func(args ...any) {
		from, _ := args[1].(map[string]any)["from"].(map[string]any)
		tell("message:new", args[0], from["userId"])
	})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		ask("message:send", map[string]any{"channelId": channel, "content": in.Text()}, "sent")
	}
	time.Sleep(500 * time.Millisecond) // for the last answer
	client.Disconnect()
}

func ok(reply []any) bool {
	answer, _ := reply[0].(map[string]any)
	return answer["ok"] == true
}

func tell(line ...any) {
	text, err := json.Marshal(line)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}
