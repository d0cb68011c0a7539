from flwr.clientapp import ClientApp

app = ClientApp()  # its nodes are native clients
