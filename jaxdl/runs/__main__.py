from jaxdl.runs._command import main

main()
